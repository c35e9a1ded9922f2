import { DEADLINES } from "./deadlines/deadlines.ts";
import { DETECTORS } from "./detectors/detectors.ts";
import type { Laboratory } from "./laboratory.ts";

/** In the order of the report. */
export const LABORATORIES: readonly Laboratory[] = [DETECTORS, DEADLINES];
