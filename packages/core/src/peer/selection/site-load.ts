import { PeakEwma } from "./peak-ewma.ts";
import { OutcomeWindow } from "./relative-outliers.ts";

/** How quick one site is and how its last requests ended. Soft, and never stored: it is learned anew within seconds. */
export class SiteLoad {
  readonly latency: PeakEwma;
  readonly outcomes = new OutcomeWindow();

  constructor(timeConstantNs?: number) {
    this.latency = new PeakEwma(timeConstantNs);
  }
}
