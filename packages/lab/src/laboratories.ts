import { DETECTORS } from "./detectors/detectors.ts";
import type { Laboratory } from "./laboratory.ts";
import { STORMS_LABORATORY } from "./storms/storms.ts";

/** In the order of the report. */
export const LABORATORIES: readonly Laboratory[] = [DETECTORS, STORMS_LABORATORY];
