/** One row of the stored state: its key and its bytes (deterministic CBOR). */
export type Encoded = readonly [key: string, bytes: Uint8Array];

/**
 * The families of rows: `FAMILY/rest`. Every part of a snapshot is made of one or more families; a key outside them is
 * an error, never a guess.
 */
export const ROW = {
  node: "node",
  program: "program/",
  execution: "execution/",
  slot: "slot/",
  result: "result/",
  command: "command/",
  frontier: "frontier",
  bus: "bus",
  cells: "cells/",
  peer: "peer/",
  session: "session/",
  outbox: "outbox/",
  policy: "policy",
  soft: "soft/",
  priors: "soft-priors",
} as const;

/** The version of the meaning of all rows. Raise it with every change of meaning. */
export const SPEC_VERSION = 1;
