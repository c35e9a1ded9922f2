/**
 * Where a node keeps its state: a keyed table of rows and one position, changed by conditional commits.
 *
 * Invariants that every store keeps (the conformance suite checks them):
 *   T1. A resolved `commit` survives kill −9 and power loss; a rejected or unanswered one is applied wholly or not at all.
 *   T2. A commit of an owner whose fence was overtaken is rejected with STORE_FENCED and changes nothing.
 *   T3. `load` gives the last committed state or throws STORE_DAMAGED; never an older state, never part of one.
 */
export interface Store {
  /**
   * Takes ownership and raises the fence by one. Throws STORE_BUSY while another process owns it, STORE_FOREIGN if it
   * belongs to another node, STORE_DAMAGED.
   */
  claim(owner: string): Promise<Claim>;
  /** Every row of the last committed state, in ascending order of the keys' UTF-8 bytes. The bytes are the caller's own. */
  load(): Promise<readonly Row[]>;
  /**
   * Makes one batch durable. Batches are applied in call order; each takes copies before this returns. A rejection
   * (STORE_FENCED, STORE_FAILED) is final: every later commit rejects as well; end the process.
   */
  commit(batch: Batch): Promise<void>;
  /** Makes what was committed before, then gives up ownership; idempotent. */
  close(): Promise<void>;
}

export interface Claim {
  readonly fence: number;
  /** Position of the last commit; 0 for an empty store. */
  readonly position: number;
}

export type Row = readonly [key: string, bytes: Uint8Array];

export interface Batch {
  /** Larger than that of every earlier commit. */
  readonly position: number;
  readonly puts: readonly Row[];
  /** Applied after the puts. A key that is not there is no error. */
  readonly deletes: readonly string[];
}
