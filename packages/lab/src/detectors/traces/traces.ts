import { BURSTS } from "./bursts.ts";
import { FLAPPING } from "./flapping.ts";
import { JITTER, WALL_CLOCK } from "./jitter.ts";
import { loss } from "./loss.ts";
import { PARTITION } from "./partition.ts";
import { PERIODS } from "./periods.ts";
import { REPLAY } from "./replay.ts";
import { STALL, SUSPEND } from "./stalls.ts";
import type { Trace } from "./trace.ts";

/** In the order of the report. Letters that are left out are traces for what is not measured yet (report/pages.ts). */
export const TRACES: readonly Trace[] = [
  JITTER, loss(1), loss(5), loss(20), BURSTS, STALL, SUSPEND, REPLAY, PERIODS, PARTITION, FLAPPING, WALL_CLOCK,
];
