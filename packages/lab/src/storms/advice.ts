import { Random } from "@holdfast/core";
import { BackoffTable, parseRetryAfter } from "@holdfast/core/peer";

const CLIENTS = 10_000;
const ADVICE = 60e9;
/** Arrivals are counted in so many equal parts of the half minute after the advice has ended: what ours spreads them over. */
const BUCKETS = 50;
const WINDOW = 30e9;

export interface AdviceFigures {
  readonly rule: string;
  readonly settings: string;
  readonly isOurs: boolean;
  /** The fullest bucket ÷ the mean of all. */
  readonly peakOverMean: number;
  /** How long 9999999999 s keeps a client away, s. */
  readonly hostileS: number;
  /** How long "120", said again every 30 s for an hour, keeps it away, s. */
  readonly repeatedS: number;
}

interface AdviceRule {
  readonly rule: string;
  readonly settings: string;
  readonly isOurs: boolean;
  /** A client told this at these instants comes back at. */
  backAt(told: readonly { at: number; ns: number }[], random: Random): number;
}

type Told = readonly { at: number; ns: number }[];

/** The last advice counts, and each is taken alone. */
const each = (delay: (ns: number, random: Random) => number) => (told: Told, random: Random): number => {
  let backAt = 0;
  for (const { at, ns } of told) if (backAt === 0 || at < backAt) backAt = at + delay(ns, random);
  return backAt;
};

const RULES: readonly AdviceRule[] = [
  { rule: "gRPC A6", settings: "push-back taken exactly, no jitter, no cap", isOurs: false, backAt: each((ns) => ns) },
  { rule: "full jitter, advice first", settings: "max(advice, uniform(0, min(10 s, base · 2^n)))", isOurs: false, backAt: each((ns, random) => Math.max(ns, random.nextFraction() * 100e6)) },
  {
    rule: "Envoy", settings: "advice above 300 s is not followed (back-off of 25 … 250 ms instead), else uniform 1 … 1.5 times", isOurs: false,
    backAt: each((ns, random) => (ns > 300e9 ? random.nextFraction() * 25e6 : ns * (1 + 0.5 * random.nextFraction()))),
  },
  {
    rule: "ours", settings: "at most 60 s each and 300 s in all, then uniform 1 … 1.5 times", isOurs: true,
    backAt(told, random) {
      const table = new BackoffTable<string>({ jitter: "equal", random: () => random.nextFraction() });
      for (const { at, ns } of told) if (at === 1 || table.retryAt("server") > at) table.recordRemoteAdvisory("server", at, ns);
      return table.retryAt("server");
    },
  },
];

export function runAdvice(seed: string): AdviceFigures[] {
  return RULES.map(({ rule, settings, isOurs, backAt }) => {
    const random = Random.fromSeed(`${seed} advice ${rule}`);
    const buckets = new Array<number>(BUCKETS).fill(0);
    for (let client = 0; client < CLIENTS; client++) {
      const late = backAt([{ at: 1, ns: ADVICE }], random) - 1 - ADVICE;
      buckets[Math.min(BUCKETS - 1, Math.floor((late / WINDOW) * BUCKETS))]!++;
    }
    const again = Array.from({ length: 120 }, (_, n) => ({ at: 1 + n * 30e9, ns: 120e9 }));
    return {
      rule, settings, isOurs, peakOverMean: Math.max(...buckets) / (CLIENTS / BUCKETS),
      hostileS: (backAt([{ at: 1, ns: 9_999_999_999e9 }], random) - 1) / 1e9, repeatedS: (backAt(again, random) - 1) / 1e9,
    };
  });
}

/** What ours makes of a field, in words. */
export function readings(): [string, string][] {
  const wallMs = 1_767_225_600_000;
  return ["120", "1.5", "Thu, 01 Jan 2026 00:01:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "9999999999", "-1", "soon", ""].map((text) => {
    const advice = parseRetryAfter(text, wallMs);
    if (advice === undefined) return [text, "no advice"];
    return [text, advice.kind === "never" ? "never with this operation; the peer has no cooldown" : `wait ${advice.ns / 1e9} s, of which at most 60 are followed`];
  });
}
