import { Heap } from "../base/heap.ts";
import type { WakeReason } from "./engine-events.ts";

/**
 * Everything scheduled, in (due, id) order. An entry is a promise to look, not a fact: whoever handles it asks the
 * state whether it still applies, so a timer need not be removed when its reason is gone.
 *
 * Invariants:
 *   M1. Entries fire in ascending (due, id) order; ids ascend in the order of scheduling.
 *   M2. At most one entry per (reason, subject) is the current one; older ones fire as nothing.
 */
export interface TimerEntry {
  readonly due: number;
  readonly id: number;
  readonly reason: WakeReason;
  /** Null once it is no longer current: what waits in the heap for its time must not keep what it was about. */
  subject: TimerSubject | null;
  /** The next of the subject's current entries. */
  next: TimerEntry | undefined;
}

/** What a timer is about. Remembers which of its entries are current. */
export interface TimerSubject {
  /** The first of a chain: there are one or two, and thousands of subjects. */
  timers: TimerEntry | undefined;
}

function unchain(subject: TimerSubject, entry: TimerEntry): void {
  if (subject.timers === entry) subject.timers = entry.next;
  else for (let at = subject.timers; at !== undefined; at = at.next) if (at.next === entry) at.next = entry.next;
  entry.next = undefined;
}

export class TimerTable {
  readonly #heap = new Heap<TimerEntry>((a, b) => a.due - b.due || a.id - b.id);
  #nextId = 1;
  #stale = 0;

  /** The subject's current timer of that reason. */
  find(reason: WakeReason, subject: TimerSubject): TimerEntry | undefined {
    let entry = subject.timers;
    while (entry !== undefined && entry.reason !== reason) entry = entry.next;
    return entry;
  }

  /** Schedules, or reschedules, the subject's timer of that reason. */
  set(reason: WakeReason, subject: TimerSubject, due: number): void {
    this.clear(reason, subject);
    const entry: TimerEntry = { due, id: this.#nextId++, reason, subject, next: subject.timers };
    subject.timers = entry;
    this.#heap.push(entry);
    if (this.#stale > 1024 && this.#stale > this.#heap.size / 2) this.#dropStale();
  }

  clear(reason: WakeReason, subject: TimerSubject): void {
    const entry = this.find(reason, subject);
    if (entry === undefined) return;
    unchain(subject, entry);
    entry.subject = null; // M2
    this.#stale++;
  }

  /** Forgets every timer of a subject that is gone. */
  clearAll(subject: TimerSubject): void {
    for (let entry = subject.timers; entry !== undefined; entry = subject.timers) {
      unchain(subject, entry);
      entry.subject = null; // M2
      this.#stale++;
    }
  }

  /** The next entry due at `now`, taken out; undefined when none is. */
  pollDue(now: number): TimerEntry | undefined {
    for (let entry = this.#heap.peek(); entry !== undefined && entry.due <= now; entry = this.#heap.peek()) {
      this.#heap.pop();
      if (entry.subject === null) {
        this.#stale--; // M2
        continue;
      }
      unchain(entry.subject, entry);
      return entry;
    }
    return undefined;
  }

  /** When the table wants to be asked again; looks only. */
  next(): TimerEntry | undefined {
    for (let entry = this.#heap.peek(); entry !== undefined; entry = this.#heap.peek()) {
      if (entry.subject !== null) return entry;
      this.#heap.pop();
      this.#stale--;
    }
    return undefined;
  }

  get size(): number {
    return this.#heap.size - this.#stale;
  }

  #dropStale(): void {
    const live: TimerEntry[] = [];
    for (let entry = this.#heap.pop(); entry !== undefined; entry = this.#heap.pop()) {
      if (entry.subject !== null) live.push(entry);
    }
    for (const entry of live) this.#heap.push(entry);
    this.#stale = 0;
  }
}
