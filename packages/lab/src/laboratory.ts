export interface LabOptions {
  /** Draws every trace: the same seed and effort give the same bytes. */
  readonly seed: string;
  /** How much of everything is run; 1 is what the stored report holds. */
  readonly effort: number;
}

/** Rules side by side on the same traces: what is run, in parts that threads can share, and what is written of it. */
export interface Laboratory<R = unknown> {
  /** Its folder in the report. */
  readonly name: string;
  /** One line for the page of all laboratories: what meets what, and what is measured. */
  readonly says: string;
  /** The parts, by name. */
  readonly tasks: readonly string[];
  /** Runs one part. The answer must survive being copied between threads. */
  run(task: string, options: LabOptions): R;
  /** File names and contents, `README.md` among them; the results are in the order of `tasks`. */
  report(results: readonly R[], options: LabOptions): Map<string, string>;
}
