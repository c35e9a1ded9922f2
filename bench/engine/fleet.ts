/**
 * The main job as people run it: `holdfast up examples/text-index/fleet.ts`, its processes included. Compared with the
 * plain pass of one process over the same files. With chaos on the default folder, whole; and without, what one more MB
 * costs: the slope between a small corpus and one of at least 300 MB, so that start-up drops out. Memory is the highest
 * that Linux saw of any process of the fleet (VmHWM) until the proof's pass begins.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { listFiles } from "../../examples/text-index/list-files.ts";
import { type BenchOptions, type Figure, figure, interleave, median, scratchDirectory } from "../harness.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const ROUNDS = 3;
const START_S_MAX = 45;
const CORPUS_BYTES_MIN = 300e6;
const SLOPE_RATIO_MAX = 1.5;
const RESIDENT_MB_MAX = 200;
/** What "flat" means: ten times the corpus may not cost more than this. */
const FLAT_RATIO_MAX = 1.2;
const SAMPLE_MS = 200;

export async function measureFleet(options: BenchOptions): Promise<Figure[]> {
  if (options.quick) return [];
  return [...(await measureStartCommand(options)), ...(await measureSlope(options))];
}

async function measureStartCommand({ note }: BenchOptions): Promise<Figure[]> {
  const { up, plain } = await interleave(ROUNDS, {
    up: async () => (await runFleet([])).wholeS,
    plain: () => plainPassSeconds(join(ROOT, "node_modules")),
  });
  note(`npm start took ${up.map((seconds) => seconds.toFixed(1)).join(", ")} s`);
  return [figure({
    figure: "npm start on the default folder, chaos, whole", value: median(up), unit: "s",
    comparison: "one plain pass over the same files", other: median(plain), target: `≤ ${START_S_MAX} s`, met: median(up) <= START_S_MAX,
  })];
}

async function measureSlope({ note }: BenchOptions): Promise<Figure[]> {
  using scratch = scratchDirectory();
  const [small, large] = await makeCorpora(scratch.path);
  note(`corpora of ${Math.round(small.bytes / 1e6)} and ${Math.round(large.bytes / 1e6)} MB`);
  const resident = { small: [] as number[], large: [] as number[] };
  const fleet = async (corpus: Corpus, name: "small" | "large"): Promise<number> => {
    const { jobS, residentMb } = await runFleet(["--no-chaos", corpus.path]);
    resident[name].push(residentMb);
    return jobS;
  };
  const times = await interleave(ROUNDS, {
    fleetSmall: () => fleet(small, "small"), plainSmall: () => plainPassSeconds(small.path),
    fleetLarge: () => fleet(large, "large"), plainLarge: () => plainPassSeconds(large.path),
  });
  const mb = (large.bytes - small.bytes) / 1e6;
  const slope = (one: readonly number[], other: readonly number[]): number => ((median(other) - median(one)) / mb) * 1000;
  const value = slope(times.fleetSmall, times.fleetLarge);
  const other = slope(times.plainSmall, times.plainLarge);
  const [residentSmall, residentLarge] = [Math.max(...resident.small), Math.max(...resident.large)];
  return [
    figure({
      figure: "cost per MB beyond start-up, no chaos", value, unit: "ms/MB", comparison: "one plain pass, beyond its start-up", other,
      target: `≤ ${SLOPE_RATIO_MAX} ×`, met: value <= SLOPE_RATIO_MAX * other,
    }),
    figure({
      figure: `resident memory, the largest process, ${Math.round(large.bytes / 1e6)} MB`, value: residentLarge, unit: "MB",
      comparison: `the same on ${Math.round(small.bytes / 1e6)} MB`, other: residentSmall, target: `≤ ${RESIDENT_MB_MAX} MB and flat (≤ ${FLAT_RATIO_MAX} ×)`,
      met: residentLarge <= RESIDENT_MB_MAX && residentLarge <= FLAT_RATIO_MAX * residentSmall,
    }),
  ];
}

interface Corpus {
  readonly path: string;
  readonly bytes: number;
}

/** One copy of the default folder's text files, and as many more as it takes. */
async function makeCorpora(directory: string): Promise<[Corpus, Corpus]> {
  const source = join(ROOT, "node_modules");
  const listed = await listFiles(source);
  const files = listed.map(({ path }) => path);
  const bytes = listed.reduce((sum, file) => sum + file.bytes, 0);
  const copies = Math.ceil(CORPUS_BYTES_MIN / bytes);
  const copyTo = (target: string): void => {
    for (const path of files) {
      mkdirSync(dirname(join(target, path)), { recursive: true });
      copyFileSync(join(source, path), join(target, path));
    }
  };
  copyTo(join(directory, "small"));
  for (let copy = 0; copy < copies; copy++) copyTo(join(directory, "large", String(copy)));
  return [{ path: join(directory, "small"), bytes }, { path: join(directory, "large"), bytes: copies * bytes }];
}

interface FleetRun {
  readonly wholeS: number;
  /** From the job's start to its end, as the command's table says. */
  readonly jobS: number;
  readonly residentMb: number;
}

async function runFleet(args: readonly string[]): Promise<FleetRun> {
  using scratch = scratchDirectory();
  const startedAt = performance.now();
  const command = ["packages/cli/bin/holdfast.js", "up", "examples/text-index/fleet.ts", "--data", join(scratch.path, "data"), ...args];
  const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  let peak = 0;
  const sample = setInterval(() => (peak = Math.max(peak, ...familyOf(child.pid!).map(peakMb))), SAMPLE_MS);
  let jobS = NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("comparing with one plain pass")) clearInterval(sample);
    const time = /^│ time +│ +([\d,.]+) s │$/.exec(line);
    if (time !== null) jobS = Number(time[1]!.replaceAll(",", ""));
  }
  clearInterval(sample);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  if (child.exitCode !== 0) throw new Error(`${command.join(" ")} ended with status ${child.exitCode}`);
  return { wholeS: (performance.now() - startedAt) / 1000, jobS, residentMb: peak };
}

/** A process and all that descend from it. */
function familyOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "");
    return [pid, ...children.flatMap((child) => familyOf(Number(child)))];
  } catch {
    return []; // it has ended
  }
}

function peakMb(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return (Number(kib ?? 0) * 1024) / 1e6;
  } catch {
    return 0;
  }
}

async function plainPassSeconds(folder: string): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...process.execArgv, "examples/text-index/plain-pass.ts", folder], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  const [status] = (await once(child, "exit")) as [number];
  if (status !== 0) throw new Error(`the plain pass ended with status ${status}`);
  return (performance.now() - startedAt) / 1000;
}
