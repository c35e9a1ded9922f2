/**
 * Every bound that the core enforces. Unless a line says otherwise the source is design.md §5, and docs/LIMITS.md says
 * what happens at each. Limits of the wire are checked before anything is allocated for what they bound.
 */
export { VALUE_BYTES_MAX, VALUE_DEPTH_MAX } from "../base/value.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

// On the wire

/** The body of any frame, and so a whole envelope. */
export const ENVELOPE_BYTES_MAX = 16 * MIB;
/**
 * The sealed part of an envelope. What else is in the body takes at most 33 bytes, the kind, the largest transmission
 * header and two lengths, so whatever was sealed can be sent.
 */
export const SEALED_BYTES_MAX = ENVELOPE_BYTES_MAX - 64;
/** The first frame in each direction, a hello: its sender is not trusted yet. */
export const HELLO_BYTES_MAX = 64 * KIB;
export const PORTS_MAX = 256;
/** One encoded value in an envelope. */
export const VALUE_WIRE_BYTES_MAX = 4 * MIB;
/** Names of ports, flows and hops, idempotency keys, codes. */
export const NAME_BYTES_MAX = 4 * KIB;
export const ADDRESSES_MAX = 8;
export const ADDRESS_BYTES_MAX = 256;
/** Envelopes granted beyond the mark. */
export const WINDOW_MAX = 256;
/** Edges that one reply reports of; as many as ports (decision: a reply never carries more of ours than of theirs). */
export const REPORTS_MAX = 256;
/** Index of a call in a chain. Decision: far beyond any real path, and one byte in other implementations. */
export const HOP_MAX = 255;

// In the engine

/** Envelopes admitted and not yet handled. At 75 % backoff notices go out. */
export const INGRESS_CAPACITY = 4096;
/** Live executions. */
export const EXECUTIONS_MAX = 10_000;
/** Commands that wait at a closed gate. */
export const PARKED_MAX = 10_000;
/** Sealed bytes that one peer has not acknowledged. */
export const OUTBOX_BYTES_MAX = 64 * MIB;
/** Peers in the address book, and sessions. */
export const PEERS_MAX = 16_384;
/** Operations that one turn runs; the rest of the frontier waits for the next. Source: design.md §4. */
export const OPERATIONS_PER_TURN = 1000;
