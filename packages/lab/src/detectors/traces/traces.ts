import { BURSTS } from "./bursts.ts";
import { CHURN } from "./churn.ts";
import { FLAPPING } from "./flapping.ts";
import { JITTER, WALL_CLOCK } from "./jitter.ts";
import { loss } from "./loss.ts";
import { ONE_WAY } from "./one-way.ts";
import { PARTITION } from "./partition.ts";
import { PERIODS } from "./periods.ts";
import { REPLAY } from "./replay.ts";
import { RESTARTS } from "./restarts.ts";
import { STALL, SUSPEND } from "./stalls.ts";
import type { Trace } from "./trace.ts";

/** In the order of the report. */
export const TRACES: readonly Trace[] = [
  JITTER, loss(1), loss(5), loss(20), BURSTS, ONE_WAY, STALL, SUSPEND, REPLAY, PERIODS, PARTITION, FLAPPING, WALL_CLOCK, RESTARTS, CHURN,
];
