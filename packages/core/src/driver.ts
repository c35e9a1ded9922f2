import { assert } from "./base/assert.ts";
import type { Encoded } from "./engine/rows.ts";
import type { Effect, EngineEvent, Wake } from "./engine/engine-events.ts";
import type { Engine } from "./engine/engine.ts";

/** What the store must make durable as one, before anything later. */
export interface Commit {
  readonly position: number;
  readonly puts: readonly Encoded[];
  readonly deletes: readonly string[];
}

/**
 * Driver owns one promise: commit before release. No effect of a turn leaves before the state that the turn saw is
 * durable; that holds for replies to reads and re-acknowledged duplicates too, which change nothing themselves.
 *
 *     poll ▶ turn ▶ held ──pollCommit──▶ committing ──handleCommitted──▶ released ──pollEffect──▶ host
 *
 * While one commit is in flight, the turns that follow gather behind it and share the next (group commit): a row that
 * several of them changed is encoded once.
 *
 * Invariants:
 *   D1. At most one commit is in flight; positions are 1 higher each time.
 *   D2. An effect is released only when every change made up to its turn is durable.
 *   D3. Effects are released in the order in which they were made.
 */
export class Driver {
  readonly engine: Engine;
  readonly #durable: boolean;
  #position: number;
  /** Effects that wait for the commit in flight, and those that wait for the next. */
  #committing: Effect[] | undefined;
  #held: Effect[] = [];
  #released: Effect[] = [];
  #at = 0;

  /** `position`: of the last commit in the store. `durable: false`: nothing is stored, everything is released at once. */
  constructor(engine: Engine, given: { position: number; durable: boolean }) {
    this.engine = engine;
    this.#position = given.position;
    this.#durable = given.durable;
  }

  /** Position of the last commit handed out. */
  get position(): number {
    return this.#position;
  }

  handle(event: EngineEvent): "accepted" | "full" {
    return this.engine.handle(event);
  }

  /** Runs one turn. True if the engine wants another at once. */
  poll(now: number, wallMs: number): boolean {
    const { effects, more } = this.engine.poll(now, wallMs);
    if (!this.#durable) this.engine.state.journal.discard();
    const unsaved = this.#committing !== undefined || this.engine.hasChanges;
    if (effects.length > 0) this.#append(unsaved ? this.#held : this.#released, effects);
    return more;
  }

  /** The next commit, if one is due and none is in flight (D1). */
  pollCommit(): Commit | undefined {
    if (this.#committing !== undefined || !this.engine.hasChanges) return undefined;
    const { puts, deletes } = this.engine.takeRecord();
    this.#committing = this.#held;
    this.#held = [];
    return { position: ++this.#position, puts, deletes };
  }

  /** The store has made it durable: what waited for it goes out (D2). */
  handleCommitted(position: number): void {
    assert(position === this.#position && this.#committing !== undefined, "D1: the commit in flight is the one committed");
    this.#append(this.#released, this.#committing); // D3
    this.#committing = undefined;
    if (this.engine.hasChanges) return;
    // Turns behind it that changed nothing saw this state: it is durable now.
    this.#append(this.#released, this.#held);
    this.#held = [];
  }

  /** The next effect to perform. */
  pollEffect(): Effect | undefined {
    if (this.#at < this.#released.length) return this.#released[this.#at++];
    if (this.#at > 0) {
      this.#released = [];
      this.#at = 0;
    }
    return undefined;
  }

  /** Is anything not yet durable or not yet released? */
  get isIdle(): boolean {
    return this.#committing === undefined && !this.engine.hasChanges && this.#held.length === 0 && this.#at >= this.#released.length;
  }

  nextTimeout(): Wake | undefined {
    return this.engine.nextTimeout();
  }

  #append(target: Effect[], effects: readonly Effect[]): void {
    for (const effect of effects) target.push(effect);
  }
}
