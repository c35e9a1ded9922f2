import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, X509Certificate } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type PeerId, RuntimeError } from "@holdfast/core";
import { createCertificate, peerOfCertificate, peerOfPublicKey } from "./certificate.ts";
import { ensurePrivateDirectory, syncDirectory } from "../files/private-directory.ts";

/** Who a node is, and what it proves that with. `keyPem` is a secret. */
export interface Identity {
  readonly peerId: PeerId;
  readonly keyPem: string;
  readonly certificatePem: string;
}

/**
 * The identity in `directory`, made at the first call. Several processes may call this at once: all get the same.
 * Throws IDENTITY_INVALID, naming the file; it never replaces a key.
 */
export function openIdentity(directory: string): Identity {
  const keyPath = join(directory, "identity.key.pem");
  const certificatePath = join(directory, "identity.certificate.pem");
  try {
    ensurePrivateDirectory(directory);
    if (!exists(keyPath)) {
      if (exists(certificatePath)) throw new Error("the key is missing, its certificate is there: the key was lost");
      createKey(directory, keyPath);
    }
    if ((statSync(keyPath).mode & 0o077) !== 0) chmodSync(keyPath, 0o600);
    const keyPem = readFileSync(keyPath, "utf8");
    const privateKey = parseKey(keyPem);
    return { peerId: peerOfPublicKey(createPublicKey(privateKey)), keyPem, certificatePem: openCertificate(directory, certificatePath, privateKey) };
  } catch (error) {
    throw new RuntimeError("IDENTITY_INVALID", { path: keyPath, reason: (error as Error).message }, { cause: error });
  }
}

/** An identity that lives as long as the process, for tests. */
export function temporaryIdentity(): Identity {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { peerId: peerOfPublicKey(publicKey), keyPem: keyToPem(privateKey), certificatePem: createCertificate(privateKey) };
}

function parseKey(pem: string): KeyObject {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== "ed25519") throw new Error(`the key is ${String(key.asymmetricKeyType)}, not ed25519`);
  return key;
}

function keyToPem(privateKey: KeyObject): string {
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** `link` and not `rename`: of two that create a key at once, the first stays. */
function createKey(directory: string, path: string): void {
  const draft = writeDraft(directory, keyToPem(generateKeyPairSync("ed25519").privateKey));
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
  syncDirectory(directory);
}

/** The certificate follows from the key: a missing or unfit one is simply made again. */
function openCertificate(directory: string, path: string, privateKey: KeyObject): string {
  if (exists(path)) {
    const stored = readFileSync(path, "utf8");
    if (belongsTo(stored, privateKey)) return stored;
  }
  const pem = createCertificate(privateKey);
  renameSync(writeDraft(directory, pem), path);
  syncDirectory(directory);
  return pem;
}

function belongsTo(certificatePem: string, privateKey: KeyObject): boolean {
  try {
    return peerOfCertificate(new X509Certificate(certificatePem)) === peerOfPublicKey(createPublicKey(privateKey));
  } catch {
    return false;
  }
}

function writeDraft(directory: string, text: string): string {
  const draft = join(directory, `.draft-${randomUUID()}`);
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return draft;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
