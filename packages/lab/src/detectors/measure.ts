import { assert } from "@holdfast/core";
import type { Rule, Verdict } from "./rules/rule.ts";
import type { Pause, PeerTrace } from "./traces/trace.ts";

/** What one rule made of one peer, or the sum over many. Durations are ns. */
export interface Measured {
  /** Time in which the peer was alive. */
  readonly aliveNs: number;
  /** Suspicions that began while it was, and how much of that time they took. */
  readonly mistakes: number;
  readonly mistakenNs: number;
  /** From each death to the suspicion that lasts, ascending; Infinity = never. 0: it was suspected already. */
  readonly detectionsNs: readonly number[];
}

export interface Order {
  /** After a pause what lies in the socket is read before the rule judges. */
  readonly drainsFirst: boolean;
  /** What keeps nothing over a restart begins again. Left out: the trace has none. */
  readonly begin?: () => Rule;
  /** Which of the rule's verdicts are measured; default: the one that it has. */
  readonly verdicts?: readonly (Verdict | undefined)[];
  /** Told when each mistake begins. */
  readonly onMistake?: (at: number, verdict: Verdict | undefined) => void;
}

/**
 * Runs a rule over a peer's beats and the observer's pauses and restarts, and looks at it only where something happens:
 * in between the rule says by itself from when it suspects. The measures are those of Chen, Toueg, Aguilera (2002), §2.
 *
 * A suspicion begins when the rule's instant has come and the observer runs; it ends with the beat that the rule
 * believes. What begins after the death is no mistake, what lasts is the detection.
 */
export function measure(peer: PeerTrace, rule: Rule, order: Order): Measured {
  return measureAll(peer, rule, order)[0] as Measured;
}

/** The same for each of `verdicts`, in one run. */
export function measureAll(peer: PeerTrace, begun: Rule, { drainsFirst, begin, verdicts = [undefined], onMistake }: Order): Measured[] {
  const { arrivals, sentAt, diedAt } = peer;
  const stops = stopsOf(peer);
  let rule = begun;
  const gauges = verdicts.map((verdict) => new Gauge(diedAt, (until) => rule.suspectsAt(until, verdict), (at) => onMistake?.(at, verdict)));

  function stand({ from, to, restarts }: Stop): void {
    for (const gauge of gauges) gauge.judge(from);
    if (!restarts) rule.pause?.(to, to - from);
    else if (rule.restart !== undefined) rule.restart(to, to - from);
    else rule = begin?.() ?? rule;
    for (const gauge of gauges) gauge.resume(to, { judges: !drainsFirst && !restarts, restarts });
  }

  const [first, second] = gauges as [Gauge, Gauge?];
  assert(gauges.length <= 2, "no rule has more than two verdicts");
  let stopNext = 0;
  let stopFrom = stops[0]?.from ?? Infinity;
  for (let sequence = 0; sequence < arrivals.length; sequence++) {
    const now = arrivals[sequence] as number;
    if (now === Infinity) continue;
    while (stopFrom <= now) {
      const stop = stops[stopNext++] as Stop;
      assert(stop.to <= now, "nothing arrives in a pause");
      stand(stop);
      stopFrom = stops[stopNext]?.from ?? Infinity;
    }
    first.arrive(now);
    if (second !== undefined) second.arrive(now);
    rule.beat(now, sequence, sentAt[sequence] as number);
    first.believe(now);
    if (second !== undefined) second.believe(now);
  }
  for (const stop of stops.slice(stopNext)) stand(stop);
  return gauges.map((gauge) => gauge.finish(peer.beginsAt));
}

interface Stop extends Pause {
  readonly restarts: boolean;
}

/** Pauses and restarts, in order. */
function stopsOf({ pauses, restarts = [] }: PeerTrace): Stop[] {
  const stops = [...pauses.map((pause) => ({ ...pause, restarts: false })), ...restarts.map((restart) => ({ ...restart, restarts: true }))];
  return stops.sort((a, b) => a.from - b.from);
}

/** Counts what one verdict does. */
class Gauge {
  readonly #diedAt: number;
  readonly #suspectsAt: (until: number) => number;
  readonly #mistaken: (at: number) => void;
  #mistakes = 0;
  #mistakenNs = 0;
  #suspectedAt: number | undefined;
  /** The last instant up to which everything has been judged. */
  #judgedTo = 0;

  constructor(diedAt: number, suspectsAt: (until: number) => number, mistaken: (at: number) => void) {
    this.#diedAt = diedAt;
    this.#suspectsAt = suspectsAt;
    this.#mistaken = mistaken;
  }

  judge(until: number): void {
    if (this.#suspectedAt === undefined) {
      const at = Math.max(this.#suspectsAt(until), this.#judgedTo);
      if (at < until) this.#suspect(at);
    }
    this.#judgedTo = until;
  }

  /** Something arrives: what came before it is judged. */
  arrive(now: number): void {
    if (this.#suspectedAt === undefined && this.#suspectsAt(now) < now) this.judge(now);
    this.#judgedTo = now;
  }

  believe(now: number): void {
    if (this.#suspectedAt !== undefined && this.#suspectsAt(now) >= now) this.#trust(now);
  }

  /** The observer runs again. What a restart forgot is suspected no more. */
  resume(to: number, { judges, restarts }: { judges: boolean; restarts: boolean }): void {
    this.#judgedTo = to;
    if (judges && this.#suspectedAt === undefined && this.#suspectsAt(to) <= to) this.#suspect(to);
    if (restarts && this.#suspectedAt !== undefined && this.#suspectsAt(to) > to) this.#trust(to);
  }

  finish(beginsAt: number): Measured {
    this.judge(Infinity);
    if (this.#suspectedAt !== undefined && this.#suspectedAt < this.#diedAt) this.#mistakenNs += this.#diedAt - this.#suspectedAt;
    const detectedAt = this.#suspectedAt ?? Infinity;
    return {
      aliveNs: this.#diedAt - beginsAt, mistakes: this.#mistakes, mistakenNs: this.#mistakenNs,
      detectionsNs: [Math.max(0, detectedAt - this.#diedAt)],
    };
  }

  #suspect(at: number): void {
    this.#suspectedAt = at;
    if (at >= this.#diedAt) return;
    this.#mistakes++;
    this.#mistaken(at);
  }

  #trust(now: number): void {
    const since = this.#suspectedAt as number;
    if (since < this.#diedAt) this.#mistakenNs += Math.min(now, this.#diedAt) - since;
    this.#suspectedAt = undefined;
  }
}

/** Adds up what was made of many peers. */
export class Sum {
  #aliveNs = 0;
  #mistakes = 0;
  #mistakenNs = 0;
  readonly #detectionsNs: number[] = [];

  add({ aliveNs, mistakes, mistakenNs, detectionsNs }: Measured): void {
    this.#aliveNs += aliveNs;
    this.#mistakes += mistakes;
    this.#mistakenNs += mistakenNs;
    for (const detection of detectionsNs) this.#detectionsNs.push(detection);
  }

  get measured(): Measured {
    return {
      aliveNs: this.#aliveNs, mistakes: this.#mistakes, mistakenNs: this.#mistakenNs, detectionsNs: this.#detectionsNs.toSorted((a, b) => a - b),
    };
  }
}

export function total(parts: readonly Measured[]): Measured {
  const sum = new Sum();
  for (const part of parts) sum.add(part);
  return sum.measured;
}

const NS_PER_DAY = 86_400e9;

/** The columns of the report. Times in s. */
export interface Figures {
  readonly peerDays: number;
  readonly detectionP50: number;
  readonly detectionP99: number;
  readonly detectionMax: number;
  readonly mistakes: number;
  readonly mistakesPerDay: number;
  /** NaN without a mistake. */
  readonly meanMistake: number;
  /** How probable it is that the answer to "is it up?" is right at a random moment of the peer's life. */
  readonly queryAccuracy: number;
}

export function figuresOf({ aliveNs, mistakes, mistakenNs, detectionsNs }: Measured): Figures {
  const peerDays = aliveNs / NS_PER_DAY;
  return {
    peerDays,
    detectionP50: percentile(detectionsNs, 0.5) / 1e9,
    detectionP99: percentile(detectionsNs, 0.99) / 1e9,
    detectionMax: percentile(detectionsNs, 1) / 1e9,
    mistakes,
    mistakesPerDay: mistakes / peerDays,
    meanMistake: mistakenNs / mistakes / 1e9,
    queryAccuracy: 1 - mistakenNs / aliveNs,
  };
}

/** The nearest rank: the smallest value that at least this share of all does not exceed. */
export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? NaN;
}
