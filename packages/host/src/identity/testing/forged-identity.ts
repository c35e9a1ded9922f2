import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { bitString, explicit, generalizedTime, integer, oid, sequence, set, utf8String } from "../der.ts";

export interface ForgedIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A sound self-signed certificate, but of a P-256 key. */
export function ecdsaIdentity(): ForgedIdentity {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  return forge(privateKey, publicKey, ecdsaWithSha256, (body) => sign("sha256", body, privateKey));
}

/** An Ed25519 certificate that a key other than its own signed. */
export function wronglySignedIdentity(): ForgedIdentity {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const other = generateKeyPairSync("ed25519").privateKey;
  return forge(privateKey, publicKey, sequence(oid(0x2b, 0x65, 0x70)), (body) => sign(null, body, other));
}

function forge(privateKey: KeyObject, publicKey: KeyObject, algorithm: Buffer, signBody: (body: Buffer) => Buffer): ForgedIdentity {
  const name = sequence(set(sequence(oid(0x55, 0x04, 0x03), utf8String("forged"))));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))), integer(Buffer.from([1])), algorithm, name,
    sequence(generalizedTime("20200101000000Z"), generalizedTime("21200101000000Z")), name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  return {
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    certificatePem: new X509Certificate(sequence(body, algorithm, bitString(signBody(body)))).toString(),
  };
}
