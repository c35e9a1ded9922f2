/**
 * What was found on disk is taken for what is there so long. Decision: 20 ms, less than it takes to start a process that could
 * tell the difference, and the looks at the disk are most of what a connection costs.
 */
export const FRESH_MS = 20;
const ENTRIES_MAX = 256;

/** Answers to questions that come in bursts, each for a moment. */
export class BriefMemo<T> {
  readonly #answers = new Map<string, { readonly answer: T; readonly atMs: number }>();

  /** What `find` throws is not remembered. */
  get(question: string, find: () => T): T {
    const known = this.#answers.get(question);
    const nowMs = performance.now();
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.answer;
    const answer = find();
    if (this.#answers.size >= ENTRIES_MAX) this.#answers.clear();
    this.#answers.set(question, { answer, atMs: nowMs });
    return answer;
  }

  clear(): void {
    this.#answers.clear();
  }
}
