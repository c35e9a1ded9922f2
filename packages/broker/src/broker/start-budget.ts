/** Exits before readiness that are tolerated in a window, and its length. */
const EXITS_MAX = 3;
const WINDOW_US = 30_000_000;
/** Keys with a record; at the bound the oldest goes. */
const ENTRIES_MAX = 4096;

/**
 * Limits how often a backend that does not come up is started: three exits before readiness in 30 s, of one key. Whether a
 * start is under way is not its business.
 *
 * Invariants:
 *   S1. A key has at most EXITS_MAX exits on record, all younger than the window.
 *   S2. A start that becomes ready clears its key.
 */
export class StartBudget {
  readonly #exits = new Map<string, number[]>();

  recordExit(key: string, now: number): void {
    const exits = this.#recent(key, now);
    exits.push(now);
    if (exits.length > EXITS_MAX) exits.shift(); // S1
    this.#exits.delete(key);
    this.#exits.set(key, exits);
    if (this.#exits.size > ENTRIES_MAX) this.#exits.delete(this.#exits.keys().next().value as string);
  }

  recordReady(key: string): void {
    this.#exits.delete(key); // S2
  }

  /** 0: it may be started now. */
  retryAfterMs(key: string, now: number): number {
    const exits = this.#recent(key, now);
    if (exits.length < EXITS_MAX) return 0;
    return Math.ceil(((exits[0] as number) + WINDOW_US - now) / 1000);
  }

  #recent(key: string, now: number): number[] {
    return (this.#exits.get(key) ?? []).filter((at) => now - at < WINDOW_US);
  }
}
