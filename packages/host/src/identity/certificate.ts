import { createPublicKey, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { assert, type PeerId, peerIdFromEd25519, RuntimeError } from "@holdfast/core";
import { bitString, explicit, generalizedTime, integer, oid, sequence, set, utcTime, utf8String } from "./der.ts";

const ED25519 = sequence(oid(0x2b, 0x65, 0x70)); // 1.3.101.112, RFC 8410
const COMMON_NAME = oid(0x55, 0x04, 0x03); // 2.5.4.3
/** An Ed25519 SubjectPublicKeyInfo is a fixed prefix and the key (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/**
 * A self-signed X.509 v3 certificate (RFC 5280), which Node cannot make itself. It only carries the key through TLS:
 * nobody reads its name or asks an authority, and its validity outlives the key on purpose.
 */
export function createCertificate(privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey);
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive, and no leading zero
  const name = sequence(set(sequence(COMMON_NAME, utf8String("holdfast"))));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))), // v3
    integer(serial),
    ED25519,
    name,
    sequence(utcTime("200101000000Z"), generalizedTime("21200101000000Z")),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const certificate = new X509Certificate(sequence(body, ED25519, bitString(sign(null, body, privateKey))));
  assert(certificate.verify(publicKey), "the certificate that we wrote verifies");
  return certificate.toString();
}

/** Who a certificate belongs to: it must carry an Ed25519 key and that key's signature. Throws CERTIFICATE_INVALID. */
export function peerOfCertificate(certificate: X509Certificate | undefined): PeerId {
  if (certificate === undefined) throw new RuntimeError("CERTIFICATE_INVALID", { reason: "none was presented" });
  try {
    const { publicKey } = certificate;
    if (publicKey.asymmetricKeyType !== "ed25519") throw new Error(`its key is ${String(publicKey.asymmetricKeyType)}`);
    if (!certificate.verify(publicKey)) throw new Error("it is not signed by its own key");
    return peerOfPublicKey(publicKey);
  } catch (error) {
    throw new RuntimeError("CERTIFICATE_INVALID", { reason: (error as Error).message }, { cause: error });
  }
}

export function peerOfPublicKey(publicKey: KeyObject): PeerId {
  const spki = publicKey.export({ type: "spki", format: "der" });
  assert(spki.length === SPKI_PREFIX.length + 32 && spki.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX), "an Ed25519 key has this form");
  return peerIdFromEd25519(spki.subarray(SPKI_PREFIX.length));
}
