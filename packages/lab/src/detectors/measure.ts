import { assert } from "@holdfast/core";
import type { Rule } from "./rules/rule.ts";
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
}

/**
 * Runs a rule over a peer's beats and the observer's pauses, and looks at it only where something happens: in between
 * the rule says by itself from when it suspects. The measures are those of Chen, Toueg, Aguilera (2002), §2.
 *
 * A suspicion begins when the rule's instant has come and the observer runs; it ends with the beat that the rule
 * believes. What begins after the death is no mistake, what lasts is the detection.
 */
export function measure(peer: PeerTrace, rule: Rule, { drainsFirst }: Order): Measured {
  const { arrivals, sentAt, pauses, diedAt } = peer;
  let mistakes = 0;
  let mistakenNs = 0;
  let suspectedAt: number | undefined;
  /** The last instant up to which everything has been judged. */
  let judgedTo = 0;

  function judge(until: number): void {
    if (suspectedAt === undefined) {
      const at = Math.max(rule.suspectsAt(until), judgedTo);
      if (at < until) {
        suspectedAt = at;
        if (at < diedAt) mistakes++;
      }
    }
    judgedTo = until;
  }

  function believe(now: number): void {
    if (suspectedAt === undefined || rule.suspectsAt(now) < now) return;
    if (suspectedAt < diedAt) mistakenNs += Math.min(now, diedAt) - suspectedAt;
    suspectedAt = undefined;
  }

  function stand({ from, to }: Pause): void {
    judge(from);
    judgedTo = to;
    rule.pause?.(to, to - from);
    if (!drainsFirst && suspectedAt === undefined && rule.suspectsAt(to) <= to) {
      suspectedAt = to;
      if (to < diedAt) mistakes++;
    }
  }

  let pauseNext = 0;
  let pauseFrom = pauses[0]?.from ?? Infinity;
  for (let sequence = 0; sequence < arrivals.length; sequence++) {
    const now = arrivals[sequence] as number;
    if (now === Infinity) continue;
    while (pauseFrom <= now) {
      const pause = pauses[pauseNext++] as Pause;
      assert(pause.to <= now, "nothing arrives in a pause");
      stand(pause);
      pauseFrom = pauses[pauseNext]?.from ?? Infinity;
    }
    if (suspectedAt === undefined && rule.suspectsAt(now) < now) judge(now);
    judgedTo = now;
    rule.beat(now, sequence, sentAt[sequence] as number);
    if (suspectedAt !== undefined) believe(now);
  }
  for (const pause of pauses.slice(pauseNext)) stand(pause);
  judge(Infinity);

  if (suspectedAt !== undefined && suspectedAt < diedAt) mistakenNs += diedAt - suspectedAt;
  const detectedAt = suspectedAt ?? Infinity;
  return { aliveNs: diedAt - peer.beginsAt, mistakes, mistakenNs, detectionsNs: [Math.max(0, detectedAt - diedAt)] };
}

/** The sum over many peers. */
export function total(parts: readonly Measured[]): Measured {
  const sum = (of: (part: Measured) => number) => parts.reduce((total, part) => total + of(part), 0);
  return {
    aliveNs: sum(({ aliveNs }) => aliveNs),
    mistakes: sum(({ mistakes }) => mistakes),
    mistakenNs: sum(({ mistakenNs }) => mistakenNs),
    detectionsNs: parts.flatMap(({ detectionsNs }) => detectionsNs).sort((a, b) => a - b),
  };
}

const NS_PER_DAY = 86_400e9;

/** The columns of the report. Times in s. */
export interface Figures {
  readonly peerDays: number;
  readonly detectionP50: number;
  readonly detectionP99: number;
  readonly detectionMax: number;
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
    mistakesPerDay: mistakes / peerDays,
    meanMistake: mistakenNs / mistakes / 1e9,
    queryAccuracy: 1 - mistakenNs / aliveNs,
  };
}

/** The nearest rank: the smallest value that at least this share of all does not exceed. */
export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? NaN;
}
