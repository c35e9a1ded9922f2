import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBase58 } from "./base58.ts";
import { RuntimeError } from "./errors.ts";
import { comparePeerIds, ed25519FromPeerId, parsePeerId, peerIdFromEd25519 } from "./peer-id.ts";

// The Ed25519 key of libp2p's peer-ids.md, with the id that libp2p gives it.
const SPEC_KEY = Uint8Array.from(Buffer.from("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e", "hex"));
const SPEC_ID = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });

test("peer-id: the key of libp2p's specification has its id, and back", () => {
  assert.equal(peerIdFromEd25519(SPEC_KEY), SPEC_ID);
  assert.deepEqual(ed25519FromPeerId(parsePeerId(SPEC_ID)), SPEC_KEY);
});

// libp2p's peer-ids.md and the test vectors of its TLS specification.
const named = [
  { kind: "ed25519", text: "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv", isKey: true },
  { kind: "ed25519", text: "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", isKey: true },
  { kind: "sha2-256 of an ECDSA key", text: "QmfXbAwNjJLXfesgztEHe8HwgVDCMMpZ9Eax1HYq6hn9uE", isKey: false },
  { kind: "sha2-256 of an RSA key", text: "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", isKey: false },
  { kind: "identity of a secp256k1 key", text: "16Uiu2HAkutTMoTzDw1tCvSRtu6YoixJwS46S1ZFxW8hSx9fWHiPs", isKey: false },
  { kind: "blake2b-256", text: encodeBase58(Uint8Array.of(0xa0, 0xe4, 0x02, 32, ...new Uint8Array(32).fill(7))), isKey: false },
] as const;

for (const { kind, text, isKey } of named) {
  test(`peer-id: takes ${kind}: ${text}`, () => {
    const id = parsePeerId(text);
    assert.equal(id, text);
    const found = ed25519FromPeerId(id);
    assert.equal(found !== null, isKey);
    if (found !== null) assert.equal(peerIdFromEd25519(found), text);
  });
}

const digest = new Uint8Array(32).fill(1);
const refused = [
  { name: "nothing", text: "" },
  { name: "no base58", text: "12D3KooW0" },
  { name: "a sha2-256 too short", text: encodeBase58(Uint8Array.of(0x12, 31, ...digest.subarray(1))) },
  { name: "a sha2-256 too long", text: encodeBase58(Uint8Array.of(0x12, 32, ...digest, 1)) },
  { name: "a sha2-512", text: encodeBase58(Uint8Array.of(0x13, 32, ...digest)) },
  { name: "a blake2b-256 too short", text: encodeBase58(Uint8Array.of(0xa0, 0xe4, 0x02, 32, ...digest.subarray(1))) },
  { name: "an identity of another length than it says", text: encodeBase58(Uint8Array.of(0, 4, 1, 2, 3)) },
  { name: "an empty identity", text: encodeBase58(Uint8Array.of(0, 0)) },
  { name: "an identity longer than any inlined key", text: encodeBase58(Uint8Array.of(0, 43, ...new Uint8Array(43))) },
  { name: "a long text", text: "1".repeat(1_000_000) },
  { name: "a peer id with blanks", text: ` ${SPEC_ID}` },
] as const;

for (const { name, text } of refused) {
  test(`peer-id: refuses ${name}`, () => {
    assert.throws(() => parsePeerId(text), (error) => error instanceof RuntimeError && error.code === "PEER_ID_INVALID");
  });
}

test("peer-id: the largest identity is within the bound on texts", () => {
  const text = encodeBase58(Uint8Array.of(0, 42, ...new Uint8Array(42).fill(255)));
  assert.equal(parsePeerId(text), text);
});

test("peer-id: every key has an id, and the id gives the key back", () => {
  fc.assert(
    fc.property(key, (given) => {
      const id = peerIdFromEd25519(given);
      assert.ok(id.startsWith("12D3KooW"));
      assert.equal(parsePeerId(id), id);
      assert.deepEqual(ed25519FromPeerId(id), given);
    }),
  );
});

test("peer-id: the order is the order of the bytes, not of the texts", () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const order = comparePeerIds(peerIdFromEd25519(a), peerIdFromEd25519(b));
      assert.equal(Math.sign(order), Buffer.compare(a, b));
    }),
  );
});
