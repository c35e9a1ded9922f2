import { NS_PER_MS, nowNs, toMs } from "./clock.ts";
import type { Clock } from "./clock.ts";

/** An asynchronous context, where the platform has some: Node.js's AsyncResource as far as it concerns us. */
export interface Scope {
  runInAsyncScope(ring: (now: number) => void, alarm: Alarm, now: number): void;
}

/** A new one is the present context. */
export type ScopeClass = new (name: string) => Scope;

/** What is to happen at an instant. Its owner sets `dueAt` while it is not armed, and leaves `place` and `scope` alone. */
export interface Alarm {
  /** Ns. */
  dueAt: number;
  /** Where the queue holds it; −1 while it is not armed. */
  place: number;
  /** The asynchronous context of whoever armed it, where the platform tells. */
  scope: Scope | undefined;
  /** It is no longer armed then. */
  ring(now: number): void;
}

/** A timer that comes so late, in ns, found our own loop busy: what has arrived meanwhile is heard first, for so long. */
const OWN_LAG_NS = 25 * NS_PER_MS;
const HEARING_NS = NS_PER_MS;
/** What a fraction of a ms loses in ns. Who is rung hears of the instant that it was due at. */
const ROUNDING_NS = 1;
/** A timer of this platform that is set for longer than 2³¹ ms runs at once; this one, in ms, is set again. */
const TIMER_MAX_MS = 1 << 30;

/**
 * AlarmQueue rings alarms in the order in which they are due, all of them with one timer. Arming and disarming take log n
 * steps: a heap in which each alarm knows its place.
 *
 * Invariants:
 *   Q1. No alarm rings before it is due, or more than once for each time that it was armed.
 *   Q2. While an alarm is armed and the program waits, there is a timer, for the first that is due or before; otherwise there is none.
 *   Q3. An alarm rings in the asynchronous context in which it was armed, as it would with a timer of its own.
 *   Q4. After a lag of our own everything that was due in it waits once, until what had arrived was heard.
 */
export class AlarmQueue {
  readonly #clock: Clock;
  readonly #Scope: ScopeClass | undefined;
  /** No alarm is due before that at (its place − 1) / 2. */
  readonly #alarms: Alarm[] = [];
  #timer: unknown;
  /** When the timer wakes us, in ns; Infinity = there is none. */
  #wakesAt = Infinity;
  #isLooking = false;
  /** What was due by then has waited for its hearing. */
  #heardUntil = 0;

  /** `Scope`: of the asynchronous contexts that the platform has. */
  constructor(clock: Clock, Scope?: ScopeClass) {
    this.#clock = clock;
    this.#Scope = Scope;
  }

  arm(alarm: Alarm): void {
    if (this.#Scope !== undefined) alarm.scope = new this.#Scope("HoldfastAlarm");
    this.#rise(alarm, this.#alarms.length);
    if (alarm.dueAt < this.#wakesAt) this.#lookSoon();
  }

  /** Harmless for an alarm that is not armed. */
  disarm(alarm: Alarm): void {
    const { place } = alarm;
    if (place < 0) return;
    alarm.place = -1;
    const last = this.#alarms.pop() as Alarm;
    if (last !== alarm) this.#sink(last, place);
    if (this.#alarms.length === 0 && this.#wakesAt !== Infinity) this.#lookSoon();
  }

  /** In Node.js after all promises that can be kept now: what is answered by then needs no timer, and what comes next may use the one there is. */
  #lookSoon(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    (globalThis.process?.nextTick ?? queueMicrotask)(this.#look);
  }

  readonly #look = (): void => {
    this.#isLooking = false;
    const [first] = this.#alarms;
    if (first === undefined) this.#clear(); // Q2
    else if (first.dueAt < this.#wakesAt) this.#set(first.dueAt);
  };

  #set(wakesAt: number): void {
    this.#clear();
    this.#wakesAt = wakesAt;
    // In whole µs and upwards: a clock that counts in them must not wake us for nothing.
    const delayMs = Math.ceil(toMs(Math.max(0, wakesAt - nowNs(this.#clock))) * 1000) / 1000;
    this.#timer = this.#clock.setTimer(this.#wake, Math.min(delayMs, TIMER_MAX_MS));
  }

  #clear(): void {
    if (this.#wakesAt === Infinity) return;
    this.#wakesAt = Infinity;
    this.#clock.clearTimer(this.#timer);
  }

  readonly #wake = (): void => {
    const now = nowNs(this.#clock);
    const isLate = now - this.#wakesAt > OWN_LAG_NS;
    const until = isLate ? this.#heardUntil : now + ROUNDING_NS;
    this.#wakesAt = Infinity;
    if (isLate) this.#heardUntil = now; // Q4
    try {
      for (let first = this.#alarms[0]; first !== undefined && first.dueAt <= until; first = this.#alarms[0]) { // Q1
        this.disarm(first);
        const heard = Math.max(now, first.dueAt);
        if (first.scope === undefined) first.ring(heard);
        else first.scope.runInAsyncScope(first.ring, first, heard); // Q3
      }
    } finally {
      // Whatever one of them throws: the others wait for theirs.
      const [next] = this.#alarms;
      if (next !== undefined) this.#set(isLate ? now + HEARING_NS : next.dueAt);
    }
  };

  #rise(alarm: Alarm, from: number): void {
    const alarms = this.#alarms;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = alarms[above] as Alarm;
      if (parent.dueAt <= alarm.dueAt) break;
      alarms[place] = parent;
      parent.place = place;
      place = above;
    }
    alarms[place] = alarm;
    alarm.place = place;
  }

  #sink(alarm: Alarm, from: number): void {
    const alarms = this.#alarms;
    let place = from;
    for (let below = 2 * place + 1; below < alarms.length; below = 2 * place + 1) {
      if (below + 1 < alarms.length && (alarms[below + 1] as Alarm).dueAt < (alarms[below] as Alarm).dueAt) below++;
      const child = alarms[below] as Alarm;
      if (child.dueAt >= alarm.dueAt) break;
      alarms[place] = child;
      child.place = place;
      place = below;
    }
    this.#rise(alarm, place);
  }
}
