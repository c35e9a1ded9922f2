/**
 * The parts of a snapshot, by the names that spec/snapshot.md gives them, in the order in which they are stored. The spec
 * version is no part: it stands in the head, where any version can read it.
 */
export const SNAPSHOT_PARTS = [
  "frontier", "slots", "commands", "executions", "programs", "cells", "ingress", "timers", "bus", "lifecycle", "counters",
  "address book", "policy and health", "backoff table", "round trips", "sessions", "outbox", "identity", "clock",
] as const;
export type SnapshotPart = (typeof SNAPSHOT_PARTS)[number];

/**
 * One entry of a part: a few fields that say what it is about, as encoded bytes, and a body. The two are apart because a
 * value may be as large as a value can be, and then nothing more fits into one encoding with it.
 */
export interface SnapshotEntry {
  readonly fields: Uint8Array;
  readonly body: Uint8Array;
}

export type SnapshotEntries = ReadonlyMap<SnapshotPart, readonly SnapshotEntry[]>;
