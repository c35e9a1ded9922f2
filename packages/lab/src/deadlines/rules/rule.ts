/** How a request was answered. Times are whole ns. */
export interface Answer {
  readonly now: number;
  readonly site: number;
  /** From the sending of the attempt that is answered, which only who numbers attempts can tell. */
  readonly tripNs: number;
  /** A further attempt was sent before the answer came. */
  readonly isRetried: boolean;
  /** The budget of the attempt that is answered had run out. */
  readonly isLate: boolean;
  /** Attempts before the one that is answered, now given up: how long ago each was sent. */
  readonly givenUpNs: readonly number[];
}

/** One rule at work in one client. */
export interface Rule {
  /** How long to wait for the answer to attempt `retries`, the first is 0; `lastNs` is what the attempt before had. */
  deadlineNs(site: number, now: number, retries: number, lastNs: number): number;
  /** The deadline of an attempt that was sent at `sentAt` has passed. */
  timedOut(site: number, now: number, sentAt: number): void;
  answered(answer: Answer): void;
  /** The client was restarted. Left out: the rule begins anew. */
  restarted?(asleepNs: number): void;
}

export interface RuleEntry {
  readonly name: string;
  /** Its published settings, for people. */
  readonly settings: string;
  readonly isOurs?: boolean;
  begin(): Rule;
}

/** One estimator a site, for rules that know of no others. */
export class PerSite<E> {
  readonly #sites: E[] = [];
  readonly #make: () => E;

  constructor(make: () => E) {
    this.#make = make;
  }

  of(site: number): E {
    return (this.#sites[site] ??= this.#make());
  }
}
