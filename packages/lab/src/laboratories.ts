import { DEADLINES } from "./deadlines/deadlines.ts";
import { DETECTORS } from "./detectors/detectors.ts";
import type { Laboratory } from "./laboratory.ts";
import { SELECTION } from "./selection/selection.ts";
import { STORMS_LABORATORY } from "./storms/storms.ts";

/** In the order of the report. */
export const LABORATORIES: readonly Laboratory[] = [DETECTORS, DEADLINES, STORMS_LABORATORY, SELECTION];
