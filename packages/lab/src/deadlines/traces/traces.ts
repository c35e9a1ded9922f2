import { NS_PER_MS, NS_PER_S, Random } from "@holdfast/core";
import { between, LENGTH_NS, type Lognormal, mixture999, PERIOD_NS, quantile999, requests, REQUESTS, Trips } from "./draw.ts";
import type { RequestTrace, Trace } from "./trace.ts";

const MS = NS_PER_MS;

/** One distribution from begin to end. */
function steady(seed: string, distribution: Lognormal, loss?: number): RequestTrace {
  const random = Random.fromSeed(seed);
  const trips = new Trips(random);
  const p999Ns = quantile999(distribution);
  return requests(random, () => ({ tripNs: trips.next(distribution), p999Ns }), loss === undefined ? {} : { loss });
}

const LOGNORMAL: Trace = {
  name: "lognormal", title: "lognormal",
  says: "Median 40 ms, σ 0.5: the 99.9th percentile is 188 ms. Lost: 0.2 %.",
  client: (seed, index) => steady(`${seed} lognormal ${index}`, { medianNs: 40 * MS, sigma: 0.5 }),
};

const STEP_EVERY = 1200;

const STEP: Trace = {
  name: "step", title: "step 20 ms → 200 ms and back",
  says: "Lognormal, σ 0.25; the median is 20 ms for a minute, then 200 ms for a minute, and so on. The true percentile is that of the minute. Until the first late answer, after 200 ms, nobody can know of a step up: the four requests of that time are 0.17 % of all. Lost: 0.2 %.",
  client(seed, index) {
    const random = Random.fromSeed(`${seed} step ${index}`);
    const trips = new Trips(random);
    const isLong = (at: number) => Math.floor(at / STEP_EVERY) % 2 === 1;
    const steps = Array.from({ length: REQUESTS / STEP_EVERY - 1 }, (_, step) => {
      const before = (step + 1) * STEP_EVERY;
      return { before, to: isLong(before) ? "longer" as const : "shorter" as const };
    });
    return requests(random, (_at, place) => {
      const distribution = { medianNs: (isLong(place) ? 200 : 20) * MS, sigma: 0.25 };
      return { tripNs: trips.next(distribution), p999Ns: quantile999(distribution) };
    }, { steps });
  },
};

const HIT: Lognormal = { medianNs: 25 * MS, sigma: 0.3 };
const MISS: Lognormal = { medianNs: 400 * MS, sigma: 0.3 };
const MISSES = 0.05;

const BIMODAL: Trace = {
  name: "bimodal", title: "bimodal: cache hits and misses",
  says: "Hits: median 25 ms; misses, 5 %, independently: median 400 ms; σ 0.3 both. Lost: 0.2 %.",
  client(seed, index) {
    const random = Random.fromSeed(`${seed} bimodal ${index}`);
    const trips = new Trips(random);
    const p999Ns = mixture999([{ ...HIT, share: 1 - MISSES }, { ...MISS, share: MISSES }]);
    return requests(random, () => ({ tripNs: trips.next(random.nextFraction() < MISSES ? MISS : HIT), p999Ns }));
  },
};

const DRIFT: Trace = {
  name: "drift", title: "slow drift",
  says: "Lognormal, σ 0.3; the median goes from 30 ms to 300 ms and back, evenly on a logarithmic scale, in ten minutes. The true percentile is that of the moment. Lost: 0.2 %.",
  client(seed, index) {
    const random = Random.fromSeed(`${seed} drift ${index}`);
    const trips = new Trips(random);
    return requests(random, (at) => {
      const progress = Math.min(1, at / LENGTH_NS);
      const distribution = { medianNs: 30 * MS * 10 ** (1 - Math.abs(2 * progress - 1)), sigma: 0.3 };
      return { tripNs: trips.next(distribution), p999Ns: quantile999(distribution) };
    });
  },
};

const CALM: Lognormal = { medianNs: 30 * MS, sigma: 0.3 };
const SLOW: Lognormal = { medianNs: 240 * MS, sigma: 0.3 };
const CALM_MEAN_NS = 30 * NS_PER_S;
const SLOW_MEAN_NS = 2 * NS_PER_S;

const BURSTS: Trace = {
  name: "bursts", title: "bursts of slowness",
  says: "Median 30 ms, σ 0.3; every 30 s on average (exponentially) a burst of 2 s on average, in which it is 240 ms. Nobody can foresee a burst, so the true percentile is that of the mixture. Lost: 0.2 %.",
  client(seed, index) {
    const random = Random.fromSeed(`${seed} bursts ${index}`);
    const trips = new Trips(random);
    const share = SLOW_MEAN_NS / (CALM_MEAN_NS + SLOW_MEAN_NS);
    const p999Ns = mixture999([{ ...CALM, share: 1 - share }, { ...SLOW, share }]);
    let isSlow = false;
    let changesAt = 0;
    return requests(random, (at) => {
      while (at >= changesAt) {
        isSlow = changesAt > 0 && !isSlow;
        changesAt = Math.max(changesAt, NS_PER_S) - Math.log(1 - random.nextFraction()) * (isSlow ? SLOW_MEAN_NS : CALM_MEAN_NS);
      }
      return { tripNs: trips.next(isSlow ? SLOW : CALM), p999Ns };
    });
  },
};

const LOSSY: Trace = {
  name: "loss", title: "10 % loss with retransmission",
  says: "Median 40 ms, σ 0.3. Each attempt is lost with probability 0.1: then only a further one is answered.",
  client: (seed, index) => steady(`${seed} loss ${index}`, { medianNs: 40 * MS, sigma: 0.3 }, 0.1),
};

const SIBLINGS = 3;
const SIBLING_REQUESTS = 400;
const FIRST_REQUESTS = 50;
const WORLDS = 20;

const FEW: Trace = {
  name: "few", title: "the first 50 requests to a new site",
  says: `A client that knows ${SIBLINGS} sites by ${SIBLING_REQUESTS} requests each asks a further one that is reached on the same chain; its first ${FIRST_REQUESTS} requests are measured, with ${WORLDS} times as many clients. Lognormal, σ 0.5; each site's median is 40 ms times 0.7 to 1.4. Lost: 0.2 %.`,
  client(seed, index) {
    const random = Random.fromSeed(`${seed} few ${index}`);
    const trips = new Trips(random);
    const sites = Array.from({ length: SIBLINGS + 1 }, () => ({ medianNs: 40 * MS * between(random, 0.7, 1.4), sigma: 0.5 }));
    const warm = SIBLINGS * SIBLING_REQUESTS;
    const siteOf = (place: number) => (place < warm ? place % SIBLINGS : SIBLINGS);
    return requests(random, (_at, place) => {
      const distribution = sites[siteOf(place)] as Lognormal;
      return { tripNs: trips.next(distribution), p999Ns: quantile999(distribution) };
    }, { count: warm + FIRST_REQUESTS, siteOf, measured: { from: warm, count: FIRST_REQUESTS } });
  },
};

const BEFORE = 2000;
const AFTER = 200;
const AWAY_NS = 600 * NS_PER_S;

const RESTART: Trace = {
  name: "restart", title: "restart in mid-trace",
  says: `Lognormal, σ 0.5, median 40 ms. After ${BEFORE} requests the client is restarted and was away for ten minutes; for every second one the median is 120 ms since then. The ${AFTER} requests that follow are measured, with ${WORLDS / 4} times as many clients. Ours and Linux (its metrics cache) keep what they knew; the others begin anew. Lost: 0.2 %.`,
  client(seed, index) {
    const random = Random.fromSeed(`${seed} restart ${index}`);
    const trips = new Trips(random);
    return requests(random, (_at, place) => {
      const distribution = { medianNs: (place >= BEFORE && index % 2 === 1 ? 120 : 40) * MS, sigma: 0.5 };
      return { tripNs: trips.next(distribution), p999Ns: quantile999(distribution) };
    }, { count: BEFORE + AFTER, measured: { from: BEFORE, count: AFTER }, restart: { before: BEFORE, asleepNs: AWAY_NS } });
  },
};

/** In the order of the report. */
export const TRACES: readonly Trace[] = [LOGNORMAL, STEP, BIMODAL, DRIFT, BURSTS, LOSSY, FEW, RESTART];

/** How many more clients a trace has of whose requests only some are measured. */
export function clientsOf({ name }: Trace): number {
  return name === FEW.name ? WORLDS : name === RESTART.name ? WORLDS / 4 : 1;
}

export { PERIOD_NS };
