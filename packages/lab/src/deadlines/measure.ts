import type { Rule } from "./rules/rule.ts";
import type { RequestTrace } from "./traces/trace.ts";

/** What one rule made of the requests of one client. Times are ns. */
export interface Measured {
  readonly requests: number;
  /** Requests whose deadline passed although the answer was on its way. */
  readonly spurious: number;
  /** Deadline of each request's first attempt over the true 99.9th percentile. */
  readonly ratios: Float64Array;
  /** From the sending of each request that was lost to the sending of the attempt that was answered. */
  readonly wastedNs: number[];
  /** From each step to the first request with a deadline that suits it: for a longer one the true percentile or more, for a shorter one twice the true percentile or less; Infinity = not before the next step. */
  readonly adaptedUpNs: number[];
  readonly adaptedDownNs: number[];
  /** Every so many requests: when it was sent and what its deadline was. */
  readonly curve: readonly (readonly [number, number])[];
}

/** A request on its way. */
interface Pending {
  readonly index: number;
  readonly attemptsAt: number[];
  deadlineNs: number;
  /** When its deadline passes, and when it is answered, Infinity = by none of the attempts sent so far. */
  expiresAt: number;
  answeredAt: number;
  expired: boolean;
}

/** About so many points make a curve. */
const CURVE_POINTS = 600;
/** Shorter by as much: only a deadline at most this many times the true percentile suits. */
const SHORT_ENOUGH = 2;

/**
 * Runs a rule over a client's requests: each has a deadline; when that passes a further attempt is sent, which has one
 * too, until there is an answer. Requests run beside one another. Answers come before deadlines of the same instant.
 */
export function measure(trace: RequestTrace, begin: () => Rule, { curve: wantsCurve = false } = {}): Measured {
  const { sentAt, tripNs, lost, p999Ns, site, from, count, steps, restart } = trace;
  const measured = { requests: count, spurious: 0, ratios: new Float64Array(count), wastedNs: [] as number[], adaptedUpNs: [] as number[], adaptedDownNs: [] as number[], curve: [] as (readonly [number, number])[] };
  const every = Math.max(1, Math.floor(count / CURVE_POINTS));
  let rule = begin();
  let pending: Pending[] = [];
  let stepNext = 0;
  let step: { readonly at: number; readonly to: "longer" | "shorter" } | undefined;

  function settleStep(ns: number): void {
    if (step !== undefined) (step.to === "longer" ? measured.adaptedUpNs : measured.adaptedDownNs).push(ns);
    step = undefined;
  }

  function send(request: Pending, now: number): void {
    const { index, attemptsAt } = request;
    const asked = site[index] as number;
    request.deadlineNs = rule.deadlineNs(asked, now, attemptsAt.length, request.deadlineNs);
    request.expiresAt = now + request.deadlineNs;
    attemptsAt.push(now);
    if (attemptsAt.length > (lost[index] as number)) request.answeredAt = Math.min(request.answeredAt, now + (tripNs[index] as number));
  }

  function expire(request: Pending, now: number): void {
    const { index, attemptsAt } = request;
    const isMeasured = index >= from && index < from + count;
    if (request.answeredAt !== Infinity && !request.expired && isMeasured) measured.spurious++;
    if (request.answeredAt !== Infinity) request.expired = true;
    rule.timedOut(site[index] as number, now, attemptsAt.at(-1) as number);
    send(request, now);
  }

  function answer(request: Pending, now: number): void {
    const { index, attemptsAt, expired } = request;
    const answered = lost[index] as number;
    const answeredFrom = attemptsAt[answered] as number;
    if (answered > 0 && index >= from && index < from + count) measured.wastedNs.push(answeredFrom - (sentAt[index] as number));
    rule.answered({
      now, site: site[index] as number, tripNs: now - answeredFrom, isRetried: attemptsAt.length > 1, isLate: expired,
      givenUpNs: attemptsAt.slice(0, answered).map((at) => now - at),
    });
  }

  /** Everything that is due before the instant, in order. */
  function advance(until: number): void {
    for (;;) {
      let next: Pending | undefined;
      let at = until;
      for (const request of pending) {
        const dueAt = Math.min(request.answeredAt, request.expiresAt);
        if (dueAt < at || (dueAt === at && dueAt < until && request.answeredAt === at && next?.answeredAt !== at)) [next, at] = [request, dueAt];
      }
      if (next === undefined) return;
      if (next.answeredAt <= at) {
        pending.splice(pending.indexOf(next), 1);
        answer(next, at);
      } else expire(next, at);
    }
  }

  for (let index = 0; index < sentAt.length; index++) {
    const now = sentAt[index] as number;
    if (restart?.before === index) {
      advance(now - restart.asleepNs);
      pending = []; // with the process
      if (rule.restarted === undefined) rule = begin();
      else rule.restarted(restart.asleepNs);
    }
    advance(now);
    if (steps[stepNext]?.before === index) {
      settleStep(Infinity);
      step = { at: now, to: (steps[stepNext++] as RequestTrace["steps"][number]).to };
    }
    const request: Pending = { index, attemptsAt: [], deadlineNs: 0, expiresAt: 0, answeredAt: Infinity, expired: false };
    send(request, now);
    pending.push(request);
    const ratio = request.deadlineNs / (p999Ns[index] as number);
    if (step !== undefined && (step.to === "longer" ? ratio >= 1 : ratio <= SHORT_ENOUGH)) settleStep(now - step.at);
    if (index < from || index >= from + count) continue;
    measured.ratios[index - from] = ratio;
    if (wantsCurve && (index - from) % every === 0) measured.curve.push([now, request.deadlineNs]);
  }
  advance(Infinity);
  settleStep(Infinity);
  return measured;
}

/** What the tables hold. Times are ms; NaN where there is nothing to measure. */
export interface Figures {
  readonly requests: number;
  /** Share of the requests. */
  readonly spurious: number;
  readonly ratioP50: number;
  readonly ratioP99: number;
  readonly wastedP50: number;
  readonly wastedP99: number;
  /** Medians over all steps. */
  readonly adaptedUp: number;
  readonly adaptedDown: number;
}

export function figuresOf(parts: readonly Measured[]): Figures {
  const requests = sum(parts.map((part) => part.requests));
  const ratios = new Float64Array(requests);
  let at = 0;
  for (const part of parts) {
    ratios.set(part.ratios, at);
    at += part.ratios.length;
  }
  ratios.sort();
  const sorted = (list: (part: Measured) => readonly number[]) => Float64Array.from(parts.flatMap(list)).sort();
  const wasted = sorted((part) => part.wastedNs);
  return {
    requests, spurious: sum(parts.map((part) => part.spurious)) / requests,
    ratioP50: percentile(ratios, 0.5), ratioP99: percentile(ratios, 0.99),
    wastedP50: percentile(wasted, 0.5) / 1e6, wastedP99: percentile(wasted, 0.99) / 1e6,
    adaptedUp: percentile(sorted((part) => part.adaptedUpNs), 0.5) / 1e6, adaptedDown: percentile(sorted((part) => part.adaptedDownNs), 0.5) / 1e6,
  };
}

/** The nearest rank of an ascending list, NaN of an empty one. */
export function percentile(ascending: ArrayLike<number>, part: number): number {
  return ascending[Math.max(0, Math.ceil(part * ascending.length) - 1)] ?? NaN;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
