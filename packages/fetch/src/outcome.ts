/** What one attempt came to. */
export type OutcomeKind =
  /** The peer did what it should; also a refusal of what was asked, such as 404. */
  | "works"
  /** Nobody listens, or the address answers nobody. */
  | "refused"
  /** The connection ended before there was an answer. */
  | "reset"
  /** The name has no address. */
  | "dns"
  /** No trusted connection could be made. */
  | "tls"
  | "timed-out"
  /** 429 or 503: the peer has too much to do, and says so. */
  | "overload"
  /** Any other 5xx. */
  | "server-error"
  /** The answer began, and did not end. */
  | "body-broken"
  /** Another failure of the peer. */
  | "failed"
  /** Our own machine: descriptors, memory, routes, resolver. */
  | "local"
  /** We did not want it any more. */
  | "cancelled";

/** How one attempt is judged. */
export interface Outcome {
  readonly kind: OutcomeKind;
  /** Might another attempt do better? Default: yes, except for `works`, `local` and `cancelled`. */
  readonly retry?: boolean;
  /** What the peer said about coming back, in ms; `never` is about this operation only, and no attempt follows. */
  readonly retryAfterMs?: number | "never" | undefined;
  /** False: `works`, but of the answer only the beginning has arrived, and the rest broke off last time. Default true. */
  readonly isProof?: boolean;
  /** The status of an answer, for those who watch. */
  readonly status?: number;
}

/** Does it tell against the peer? A connection that was reset does: a success in between ends the streak. */
export function isFault(kind: OutcomeKind): boolean {
  return kind !== "works" && kind !== "overload" && kind !== "local" && kind !== "cancelled";
}

const ARRIVALS: ReadonlySet<OutcomeKind> = new Set(["works", "overload", "server-error", "body-broken"]);

/** Did anything of the peer arrive? */
export function hasArrived(kind: OutcomeKind): boolean {
  return ARRIVALS.has(kind);
}

export function isWorthAnother({ kind, retry, retryAfterMs }: Outcome): boolean {
  return retryAfterMs !== "never" && (retry ?? (kind === "overload" || isFault(kind)));
}
