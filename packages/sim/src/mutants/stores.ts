import { ROW } from "@holdfast/core";
import type { Mutant } from "./mutant.ts";

/** The store does not hold what it was given, or gives something else back. */
export const STORES: readonly Mutant[] = [
  { name: "durable-when-written", does: "the store reports a commit before the fsync", flaws: { disk: { lies: true } } },
  { name: "fsync-retried", does: "an fsync that failed is tried again, and believed", flaws: { disk: { retriesFsync: true } } },
  { name: "stale-fence", does: "the store takes the writes of an owner that was overtaken", flaws: { disk: { ignoresFence: true } } },
  { name: "torn-record", does: "a load applies the part of a record that a power cut left", flaws: { disk: { keepsTorn: true } } },
  { name: "stale-load", does: "a load misses the last commit", flaws: { disk: { loadsLate: true } } },
  { name: "cells-beside-record", does: "cells become durable before, and without, the rest of their record", flaws: { disk: { splitsCells: true } } },
  { name: "deletes-forgotten", does: "the store does not delete", flaws: { disk: { keepsDeleted: true } } },
  { name: "bit-flip-accepted", does: "the store does not look at its checksums", flaws: { disk: { trustsBits: true } } },
  {
    name: "snapshot-misses-a-table", does: "what a start is given has no cells in it",
    flaws: { load: (rows) => rows.filter(([key]) => !key.startsWith(ROW.cells)) },
  },
];
