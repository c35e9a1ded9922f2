import { assert } from "./assert.ts";
import { decodeBase58, encodeBase58 } from "./base58.ts";
import { RuntimeError } from "./errors.ts";
import type { PeerId } from "./ids.ts";

/**
 * Peer ids in libp2p's encoding: a multihash of the public key, as base58btc text. A node of ours has an Ed25519 key,
 * which is short enough to be its own "hash" (the identity multihash), so its id is the key and needs no lookup. Ids
 * of other kinds are taken as names only. Source: libp2p specs, peer-ids.md; multiformats, multihash.
 */

/** Multihash prefixes: the code as a varint, and where the digest's length is fixed, that length. */
const SHA2_256 = [0x12, 32] as const;
const BLAKE2B_256 = [0xa0, 0xe4, 0x02, 32] as const;
const IDENTITY = 0x00;
/** libp2p hashes longer keys instead of inlining them. */
const IDENTITY_BYTES_MAX = 42;

/** The identity multihash of 36 bytes: the protobuf {1: Ed25519 = 1, 2: the 32 bytes of the key}. */
const ED25519_PREFIX = [IDENTITY, 36, 0x08, 0x01, 0x12, 32] as const;
const ED25519_BYTES = 32;

/** No accepted multihash has more characters: 44 bytes take 61. Checked before the quadratic decoding. */
const TEXT_LENGTH_MAX = 61;

/** The only way from outside text to a PeerId. Throws PEER_ID_INVALID. */
export function parsePeerId(text: string): PeerId {
  const bytes = text.length <= TEXT_LENGTH_MAX ? decodeBase58(text) : undefined;
  if (bytes === undefined || !isMultihash(bytes)) throw new RuntimeError("PEER_ID_INVALID", { text: text.slice(0, TEXT_LENGTH_MAX) });
  return text as PeerId;
}

/** The id of a key, which begins with `12D3KooW`. */
export function peerIdFromEd25519(publicKey: Uint8Array): PeerId {
  assert(publicKey.length === ED25519_BYTES, "an Ed25519 public key has 32 bytes");
  const bytes = new Uint8Array(ED25519_PREFIX.length + ED25519_BYTES);
  bytes.set(ED25519_PREFIX);
  bytes.set(publicKey, ED25519_PREFIX.length);
  return encodeBase58(bytes) as PeerId;
}

/** The 32 bytes of the key that the id is made of, or null for an id of another kind. */
export function ed25519FromPeerId(id: PeerId): Uint8Array | null {
  const bytes = bytesOf(id);
  const isKey = startsWith(bytes, ED25519_PREFIX) && bytes.length === ED25519_PREFIX.length + ED25519_BYTES;
  return isKey ? bytes.slice(ED25519_PREFIX.length) : null;
}

/** Negative when `a` is lower: a total order of the ids' bytes, the same on every node. */
export function comparePeerIds(a: PeerId, b: PeerId): number {
  if (a === b) return 0;
  const left = bytesOf(a);
  const right = bytesOf(b);
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const difference = left[i]! - right[i]!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function isMultihash(bytes: Uint8Array): boolean {
  if (startsWith(bytes, SHA2_256)) return bytes.length === SHA2_256.length + 32;
  if (startsWith(bytes, BLAKE2B_256)) return bytes.length === BLAKE2B_256.length + 32;
  const digestBytes = bytes.length - 2;
  return bytes[0] === IDENTITY && bytes[1] === digestBytes && digestBytes >= 1 && digestBytes <= IDENTITY_BYTES_MAX;
}

function bytesOf(id: PeerId): Uint8Array {
  const bytes = decodeBase58(id);
  assert(bytes !== undefined, "a PeerId was parsed");
  return bytes;
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, at) => bytes[at] === byte);
}
