/** The requests of one client to one site, and to its siblings if there are any. Times are whole ns. */
export interface RequestTrace {
  /** When each request is sent, ascending. */
  readonly sentAt: Float64Array;
  /** How long an attempt at it takes that is not lost. */
  readonly tripNs: Float64Array;
  /** So many attempts of it are lost before one is answered. */
  readonly lost: Uint8Array;
  /** The true 99.9th percentile of round trips at that moment, in ns. */
  readonly p999Ns: Float64Array;
  /** Which site is asked. */
  readonly site: Uint8Array;
  /** The first request that is measured, and how many are. */
  readonly from: number;
  readonly count: number;
  /** The client is restarted before this request, after having been away so long. */
  readonly restart?: { readonly before: number; readonly asleepNs: number };
  /** The requests before which the round trips change at once, and which way. */
  readonly steps: readonly { readonly before: number; readonly to: "longer" | "shorter" }[];
}

export interface Trace {
  /** Also the name of its files. */
  readonly name: string;
  readonly title: string;
  /** What happens, with every number. */
  readonly says: string;
  client(seed: string, index: number): RequestTrace;
}
