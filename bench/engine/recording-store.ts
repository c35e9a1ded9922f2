import type { Batch, Store } from "@holdfast/host";

/** Passes everything on and keeps the batches, to be committed again without a node. */
export function recordingStore(store: Store, batches: Batch[]): Store {
  return {
    claim: (owner) => store.claim(owner),
    load: () => store.load(),
    close: () => store.close(),
    commit(batch) {
      batches.push(batch);
      return store.commit(batch);
    },
  };
}
