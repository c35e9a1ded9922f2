import type { Laboratory, LabOptions } from "../laboratory.ts";
import { calibrate, type Kept } from "./calibration.ts";
import { experiment, rulesFor } from "./experiment.ts";
import type { Figures } from "./measure.ts";
import { type Footprint, footprints } from "./memory.ts";
import { judge, report } from "./report/report.ts";
import type { Trace } from "./traces/trace.ts";
import { TRACES } from "./traces/traces.ts";

/** Peers of each calibration at an effort of 1: fifteen peer-days for each row. */
const CALIBRATION_PEERS = 60;

/** How many other seeds there are, and how much of each trace they get. */
const SEEDS = 5;
const SEED_EFFORT = 0.25;

/** All of one trace. */
interface TraceRun {
  readonly figures: readonly Figures[];
  /** By seed. */
  readonly otherSeeds: readonly (readonly Figures[])[];
  /** Ours over further peers of the first seed. */
  readonly moreOfOurs: readonly Figures[];
}

interface Result {
  readonly run?: TraceRun;
  readonly kept?: readonly Kept[];
  readonly footprints?: readonly Footprint[];
}

const CALIBRATED = TRACES.filter(({ name }) => /^[abc]-/.test(name));

/** Failure detectors: how fast a death is found, and how often the living are suspected. */
export const DETECTORS: Laboratory<Result> = {
  name: "detectors",
  says: "Failure detectors: how fast a death is found, and how often the living are suspected.",
  tasks: [...TRACES.map(({ name }) => name), ...CALIBRATED.map(({ name }) => `goals ${name}`), "memory"],
  run(task, options) {
    const [last = "", first] = task.split(" ").reverse();
    const trace = TRACES.find(({ name }) => name === last);
    if (trace === undefined) return { footprints: footprints() };
    if (first === "goals") return { kept: calibrate(trace, { seed: options.seed, peers: scaled(CALIBRATION_PEERS, options.effort) }) };
    return { run: runTrace(trace, options) };
  },
  report(results, { seed, effort }) {
    const traces = TRACES.map((trace, place) => {
      const { figures = [], otherSeeds = [], moreOfOurs = [] } = results[place]?.run ?? {};
      return judge(trace, figures, { otherSeeds, moreOfOurs });
    });
    const kept = CALIBRATED.map((trace, place) => ({ trace, kept: results[TRACES.length + place]?.kept ?? [] }));
    return report(traces, { seed, effort, kept, footprints: results.at(-1)?.footprints ?? [] });
  },
};

function runTrace(trace: Trace, { seed, effort }: LabOptions): TraceRun {
  const peers = scaled(trace.peers, effort);
  const ours = rulesFor(trace).filter(({ isOurs }) => isOurs === true);
  const more = trace.moreOfOurs === undefined ? 0 : scaled(trace.moreOfOurs, effort);
  return {
    figures: experiment(trace, { seed, peers }),
    otherSeeds: Array.from({ length: SEEDS }, (_, other) => experiment(trace, { seed: `${seed} ${other + 1}`, peers: scaled(trace.peers, effort * SEED_EFFORT) })),
    moreOfOurs: more === 0 ? [] : experiment(trace, { seed, peers: more, first: peers, rules: ours }),
  };
}

function scaled(count: number, effort: number): number {
  return Math.max(1, Math.round(count * effort));
}
