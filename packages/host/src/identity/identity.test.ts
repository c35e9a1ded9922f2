import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createCertificate, peerOfCertificate } from "./certificate.ts";
import { openIdentity, temporaryIdentity } from "./identity.ts";
import { ecdsaIdentity, wronglySignedIdentity } from "./testing/forged-identity.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-identity-"));
after(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const fresh = () => join(root, String(next++), "data");
const keyOf = (directory: string) => join(directory, "identity.key.pem");
const certificateOf = (directory: string) => join(directory, "identity.certificate.pem");

test("identity: made once, then the same, and nobody else may read it", () => {
  const directory = fresh();
  const first = openIdentity(directory);
  assert.match(first.peerId, /^12D3KooW/);
  assert.deepEqual(openIdentity(directory), first);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  assert.equal(readdirSync(directory).length, 2); // no drafts left
});

test("identity: the certificate follows from the key, a lost key from nothing", () => {
  const directory = fresh();
  const { peerId } = openIdentity(directory);
  rmSync(certificateOf(directory));
  const again = openIdentity(directory);
  assert.equal(again.peerId, peerId);
  assert.equal(peerOfCertificate(new X509Certificate(again.certificatePem)), peerId);
  writeFileSync(certificateOf(directory), temporaryIdentity().certificatePem);
  assert.equal(peerOfCertificate(new X509Certificate(openIdentity(directory).certificatePem)), peerId);
  rmSync(keyOf(directory));
  assert.throws(() => openIdentity(directory), { code: "IDENTITY_INVALID", message: /key was lost/ });
});

const ecKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
for (const [name, pem] of [["an empty file", ""], ["no PEM", "hello"], ["a key of another kind", ecKey()]] as const) {
  test(`identity: ${name} in place of the key is refused by name, and not replaced`, () => {
    const directory = fresh();
    openIdentity(directory);
    writeFileSync(keyOf(directory), pem);
    assert.throws(() => openIdentity(directory), { code: "IDENTITY_INVALID", message: new RegExp(keyOf(directory)) });
    assert.equal(readFileSync(keyOf(directory), "utf8"), pem);
  });
}

test("identity: a key that others may read is narrowed; a directory that others may write in is refused", () => {
  const directory = fresh();
  openIdentity(directory);
  chmodSync(keyOf(directory), 0o644);
  chmodSync(directory, 0o755);
  openIdentity(directory);
  assert.equal(statSync(keyOf(directory)).mode & 0o777, 0o600);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  chmodSync(directory, 0o777);
  assert.throws(() => openIdentity(directory), { code: "IDENTITY_INVALID", message: /written by others/ });
});

test("certificate: signed by the key that it carries, valid now, with a serial number of its own", () => {
  const { keyPem } = temporaryIdentity();
  const [one, two] = [0, 1].map(() => new X509Certificate(createCertificate(createPrivateKey(keyPem))));
  assert.ok(one!.verify(one!.publicKey));
  assert.ok(Date.parse(one!.validFrom) < Date.now() && Date.parse(one!.validTo) > Date.now());
  assert.notEqual(one!.serialNumber, two!.serialNumber);
  assert.equal(peerOfCertificate(one), peerOfCertificate(two));
});

test("certificate: one of another kind of key, or signed by another, or none at all, names nobody", () => {
  for (const { certificatePem } of [ecdsaIdentity(), wronglySignedIdentity()]) {
    assert.throws(() => peerOfCertificate(new X509Certificate(certificatePem)), { code: "CERTIFICATE_INVALID", blame: "peer" });
  }
  assert.throws(() => peerOfCertificate(undefined), { code: "CERTIFICATE_INVALID" });
});

test("certificate: OpenSSL's own tool can read it", (t) => {
  let text: string;
  try {
    text = execFileSync("openssl", ["x509", "-noout", "-text"], { input: temporaryIdentity().certificatePem, encoding: "utf8" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return t.skip("no openssl here");
    throw error;
  }
  assert.match(text, /Version: 3[\s\S]*Public Key Algorithm: ED25519/);
});
