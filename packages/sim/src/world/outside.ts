import { require } from "../violation.ts";

/** What host work asks of the world outside, by its input. */
export interface Job {
  readonly item: string;
  readonly fails: boolean;
  /** False: it must be answered, whatever the deadline. Otherwise work that has a deadline may never be, or too late. */
  readonly deadline?: boolean;
}

/** The value that a job has, however often it is done. */
export function jobValue(item: string): number {
  let sum = 7;
  for (let at = 0; at < item.length; at++) sum = (sum * 31 + item.charCodeAt(at)) % 1009;
  return sum;
}

/**
 * The world outside the nodes: a callee that honours idempotency keys. It outlives every node, so it knows what was asked
 * of it, and under which key.
 *
 * Invariant:
 *   O1. One key stands for one job, and one job for one key: however often it is asked, it is done once.
 */
export class Outside {
  readonly #itemOf = new Map<string, string>();
  readonly #keyOf = new Map<string, string>();
  /** How often each job was asked for. */
  readonly asked = new Map<string, number>();

  perform(key: string, { item }: Job): void {
    const known = this.#itemOf.get(key);
    const keyed = this.#keyOf.get(item);
    require(known === undefined || known === item, "stable-key", () => `the key ${key} stood for ${known} and now for ${item}`);
    require(keyed === undefined || keyed === key, "stable-key", () => `${item} was asked for under ${keyed} and now under ${key}`);
    this.#itemOf.set(key, item);
    this.#keyOf.set(item, key);
    this.asked.set(item, (this.asked.get(item) ?? 0) + 1);
  }
}
