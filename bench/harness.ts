/**
 * What every benchmark shares: rounds that alternate between what is measured and what it is compared with, medians,
 * and one form for the results. Compare ratios of one run, not absolute numbers of two: the machine is never quiet.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One measured figure beside its comparison from the same run. */
export interface Figure {
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  /** What `other` is: the same unit, measured in the same rounds. */
  readonly comparison: string;
  readonly other: number;
  /** value ÷ other; no number (null in JSON) where `other` is 0. */
  readonly ratio: number;
  readonly target: string;
  readonly met: boolean;
}

export interface BenchOptions {
  /** Fewer and shorter rounds, and no figure that takes minutes. */
  readonly quick: boolean;
  /** Says what is going on. Goes to stderr, so that `--json` prints nothing else. */
  readonly note: (text: string) => void;
}

/** What a file `NAME.bench.ts` exports. */
export interface Bench {
  run(options: BenchOptions): Promise<readonly Figure[]>;
}

/** Rounds a figure: enough for a median that one disturbed round does not move. */
export const rounds = ({ quick }: BenchOptions): number => (quick ? 3 : 7);

/**
 * Runs every subject once a round, each round in the other direction, and returns each one's samples. A first round
 * warms up and does not count.
 */
export async function interleave<Name extends string>(
  count: number, subjects: Readonly<Record<Name, () => Promise<number> | number>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(subjects) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round <= count; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const sample = await subjects[name]();
      if (round > 0) samples[name].push(sample);
    }
  }
  return samples;
}

/** A generator of its own, so that every run draws alike: the linear congruence of Numerical Recipes. Uniform in [0, 1). */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}

export function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const order = [...items];
  for (let left = order.length; left > 1; left--) {
    const at = Math.floor(random() * left);
    [order[at], order[left - 1]] = [order[left - 1] as Item, order[at] as Item];
  }
  return order;
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** Linear between the two nearest ranks. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = share * (sorted.length - 1);
  const below = sorted[Math.floor(rank)] ?? NaN;
  const above = sorted[Math.ceil(rank)] ?? NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}

export function figure(given: Omit<Figure, "ratio">): Figure {
  const { figure, value, unit, comparison, other, target, met } = given;
  return { figure, value: rounded(value), unit, comparison, other: rounded(other), ratio: rounded(value / other), target, met };
}

/** Four digits that count: more would be noise. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** A table for people; what figures are compared with stands below the last of those that are compared with it. */
export function table(figures: readonly Figure[]): string {
  const head = ["figure", "value", "compared", "ratio", "target", ""];
  const lines = figures.map((one) => [
    one.figure, amount(one.value, one.unit), amount(one.other, one.unit), Number.isFinite(one.ratio) ? String(one.ratio) : "",
    one.target, one.target === "none" ? "" : one.met ? "met" : "MISSED",
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)));
  const toText = (cells: readonly string[]): string => cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ").trimEnd();
  return [toText(head), rule, ...lines.flatMap((line, at) => {
    const { comparison } = figures[at]!;
    return comparison === figures[at + 1]?.comparison ? [toText(line)] : [toText(line), `  compared with ${comparison}`];
  })].join("\n");
}

function amount(value: number, unit: string): string {
  return `${value.toLocaleString("en", { maximumSignificantDigits: 4 })} ${unit}`;
}

/** A directory of its own that goes with the process, on the disk that the benchmark shall measure. */
export function scratchDirectory(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "holdfast-bench-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
