import { Random } from "@holdfast/core";
import type { Client, Policy } from "./policies.ts";

export const CLIENTS = 30;
/** First attempts of each client, a second. */
export const RATE = 10;
export const SECONDS = 180;
const NS = 1e9;
const TIMEOUT = NS;
const DEADLINE = 10 * NS;
const ROUND_TRIP = 10e6;
/** Requests a second that the server works off. */
export const CAPACITY = 450;
/** Work that the server queues; what is more it refuses at once. */
const QUEUE = 5 * NS;

/** What the server does wrong, and when: from 30 s on. */
export interface Storm {
  readonly name: string;
  readonly title: string;
  readonly says: string;
  readonly endsAt: number;
  readonly kind: "slow" | "failing";
}

export const STORMS: readonly Storm[] = [
  {
    name: "k-trigger", title: "overload with a trigger that goes away", kind: "slow", endsAt: 60,
    says: `The server works at a tenth of its speed from 30 s to 60 s, then at its full speed of ${CAPACITY}/s again: 1.5 times what is offered. It queues up to 5 s of work, and works off what its clients have given up long ago.`,
  },
  {
    name: "k-failure", title: "total failure", kind: "failing", endsAt: 90,
    says: "From 30 s to 90 s every request is answered with an error at once.",
  },
];

const FROM = 30;

export interface StormFigures {
  readonly policy: string;
  readonly attemptsPerSuccess: number;
  /** Attempts ÷ requests offered while the storm lasts. */
  readonly loadInStorm: number;
  /** Of all requests, the share that succeeded. */
  readonly succeeded: number;
  /** From the end of the trigger until no second of requests had less than 99 % success any more, in s. */
  readonly recoveryS: number;
  /** The busiest second of the ten after the trigger ÷ what is offered in one. */
  readonly peak: number;
  readonly arrivals: readonly number[];
}

interface Request {
  readonly id: number;
  readonly client: Client;
  readonly startedAt: number;
  attempts: number;
  last: number;
}

/** Runs one policy through one storm: an event is a request that wants to be sent, or the answer to one that was. */
export function runStorm(storm: Storm, policy: Policy, seed: string): StormFigures {
  const random = Random.fromSeed(`${seed} ${storm.name}`); // arrivals: the same for every policy
  const own = Random.fromSeed(`${seed} ${storm.name} ${policy.name}`);
  const clients = Array.from({ length: CLIENTS }, () => policy.begin(own));
  const agenda = new Agenda();
  const offered = new Array<number>(SECONDS).fill(0);
  const good = new Array<number>(SECONDS).fill(0);
  const arrivals = new Array<number>(SECONDS).fill(0);
  let id = 0;
  for (const client of clients) {
    for (let at = 0; ; ) {
      at += -Math.log(1 - random.nextFraction()) / RATE;
      if (at >= SECONDS) break;
      offered[Math.floor(at)]!++;
      const startedAt = Math.floor(at * NS) + 1;
      const request = { id: id++, client, startedAt, attempts: 0, last: 0 };
      agenda.push(startedAt, () => send(request, startedAt));
    }
  }
  let busyUntil = 0;
  let attempts = 0;

  function send(request: Request, now: number): void {
    const { client } = request;
    if (now >= request.startedAt + DEADLINE) return client.ended(request.id);
    const readyAt = client.readyAt(now);
    if (readyAt > now) return agenda.push(Math.ceil(Math.min(readyAt, request.startedAt + DEADLINE)), () => send(request, Math.ceil(Math.min(readyAt, request.startedAt + DEADLINE))));
    client.sent(now, request.id);
    request.attempts++;
    attempts++;
    const second = Math.floor(now / NS);
    if (second < SECONDS) arrivals[second]!++;
    const stormy = second >= FROM && second < storm.endsAt;
    if (storm.kind === "failing") return answer(request, now + ROUND_TRIP, !stormy);
    if (busyUntil - now > QUEUE) return answer(request, now + ROUND_TRIP, false);
    const begins = Math.max(now, busyUntil);
    const slow = begins >= FROM * NS && begins < storm.endsAt * NS ? 10 : 1;
    busyUntil = begins + (slow * NS) / CAPACITY;
    const doneAt = busyUntil + ROUND_TRIP;
    answer(request, Math.ceil(Math.min(doneAt, now + TIMEOUT)), doneAt <= now + TIMEOUT);
  }

  function answer(request: Request, at: number, ok: boolean): void {
    agenda.push(at, () => {
      const { client } = request;
      if (ok) {
        client.succeeded(at, request.id);
        good[Math.floor(request.startedAt / NS)]!++;
        return client.ended(request.id);
      }
      client.failed(at, request.id);
      const delay = policy.name === "no retry" ? undefined : client.retryIn(request.attempts, request.last, at);
      if (delay === undefined) return client.ended(request.id);
      request.last = delay;
      const next = Math.ceil(at + delay);
      agenda.push(next, () => send(request, next));
    });
  }

  agenda.run();
  const sum = (values: readonly number[], from = 0, to = values.length) => values.slice(from, to).reduce((a, b) => a + b, 0);
  const lastBad = offered.findLastIndex((count, second) => (good[second] as number) < 0.99 * count && second < SECONDS - 10);
  const recovery = lastBad < 0 ? 0 : Math.max(0, lastBad + 1 - storm.endsAt);
  return {
    policy: policy.name,
    attemptsPerSuccess: attempts / sum(good),
    loadInStorm: sum(arrivals, FROM, storm.endsAt) / sum(offered, FROM, storm.endsAt),
    succeeded: sum(good) / sum(offered),
    recoveryS: lastBad >= SECONDS - 11 ? Infinity : recovery,
    peak: Math.max(...arrivals.slice(storm.endsAt, storm.endsAt + 10)) / (CLIENTS * RATE),
    arrivals,
  };
}

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

/** What happens next: a binary heap by time, then by order. */
class Agenda {
  readonly #heap: Entry[] = [];
  #order = 0;

  push(at: number, act: () => void): void {
    const heap = this.#heap;
    heap.push({ at, order: this.#order++, act });
    for (let child = heap.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (!this.#before(child, parent)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  run(): void {
    const heap = this.#heap;
    while (heap.length > 0) {
      const { act } = heap[0] as Entry;
      const last = heap.pop() as Entry;
      if (heap.length > 0) {
        heap[0] = last;
        this.#sink();
      }
      act();
    }
  }

  #sink(): void {
    for (let parent = 0; ; ) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) if (child < this.#heap.length && this.#before(child, least)) least = child;
      if (least === parent) return;
      this.#swap(least, parent);
      parent = least;
    }
  }

  #before(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a] as Entry, this.#heap[b] as Entry];
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  #swap(a: number, b: number): void {
    [this.#heap[a], this.#heap[b]] = [this.#heap[b] as Entry, this.#heap[a] as Entry];
  }
}
