/**
 * Peer state for every call that people already make: may a remote be asked, for how long is its answer waited for, when
 * may it be asked again. One record for each peer, shared by all callers, kept over restarts.
 */
export * from "./everywhere.ts";
export { kindOfError } from "./error-codes.ts";
export { openPeers, ServerPeers as Peers } from "./server-peers.ts";
export type { StateStore, StoredRow } from "./state/state-store.ts";
export type { UndiciHandler, UndiciInterceptor, UndiciOptions, UndiciRequest } from "./undici.ts";
