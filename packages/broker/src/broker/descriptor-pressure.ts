import { readFileSync, readdirSync, statSync } from "node:fs";

/** Samples in a row that must be below the mark before pressure counts as over. */
const CALM_SAMPLES = 3;

/** Open descriptors of this process, and how many it may have. */
export interface Descriptors {
  readonly used: number;
  /** The soft limit; Infinity if there is none. */
  readonly limit: number;
}

/**
 * DescriptorPressure tells when so many descriptors are in use that no new work should be taken on. It has to be told
 * ahead of time: once none is left, libuv accepts surplus connections and drops them by itself. Their clients see a bare
 * end of stream, and the server gets no event from which it could notice.
 *
 *     normal ──more than 80 % used──▶ high ──3 samples in a row at or below 80 %──▶ normal
 *
 * Rising is immediate, since the remaining fifth fills quickly. Falling takes a streak: refusing work is what frees
 * descriptors, so the first sample below the mark says little about whether work can be taken on again.
 *
 * Samples come from a timer. While pressure is normal, additional ones (at every so many accepted connections) can only
 * raise it; while it is high, they would shorten the streak.
 *
 * Invariants:
 *   D1. A sample above the mark makes pressure high, whatever came before.
 *   D2. High ends only with CALM_SAMPLES samples at or below the mark and none above it between them.
 */
export class DescriptorPressure {
  #usedShare = 0;
  /** Samples at or below the mark that are still wanted; 0 is normal. */
  #calmWanted = 0;

  get isHigh(): boolean {
    return this.#calmWanted > 0;
  }

  /** Of the last sample: 0 to 1. */
  get usedShare(): number {
    return this.#usedShare;
  }

  handleSample(used: number, limit: number): void {
    this.#usedShare = limit > 0 ? Math.min(used / limit, 1) : 1;
    if (used * 5 > limit * 4) this.#calmWanted = CALM_SAMPLES; // D1; exact, unlike 0.8 × limit
    else if (this.#calmWanted > 0) this.#calmWanted -= 1; // D2
  }
}

/** Linux and macOS; the parameter lets one system's tests run the other's code. */
type Platform = NodeJS.Platform;

/** What was read last: once descriptors have run out, the limit can no longer be read. */
let limitLast: number | undefined;

/**
 * Undefined where the system does not tell. Costs about 25 µs on Linux from 6.2 on, however many are open. Elsewhere they
 * are listed, at about 1 µs each: call it once a second, and between that at every 32nd accepted connection or so.
 */
export function readDescriptors(platform: Platform = process.platform): Descriptors | undefined {
  const limit = softLimit(platform);
  if (limit === undefined) return undefined;
  try {
    return { used: platform === "linux" ? countOnLinux() : countListed("/dev/fd"), limit };
  } catch (error) {
    return isExhaustion(error) ? { used: limit, limit } : undefined;
  }
}

/** Since Linux 6.2 the directory's size is the number of its entries, and asking for it opens nothing. Before, it is 0. */
function countOnLinux(): number {
  const count = statSync("/proc/self/fd").size;
  return count > 0 ? count : countListed("/proc/self/fd");
}

function countListed(directory: string): number {
  return readdirSync(directory).length - 1; // less the one that lists
}

function softLimit(platform: Platform): number | undefined {
  try {
    if (platform === "linux") limitLast = limitOnLinux();
    else if (platform === "darwin") limitLast ??= limitReported();
    else return undefined;
  } catch (error) {
    if (!isExhaustion(error)) return undefined;
  }
  return limitLast;
}

/** Read each time: an operator may raise it under a process that runs. */
function limitOnLinux(): number | undefined {
  const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
  return parseLimit(soft);
}

/** Takes 2 ms, so only once. Looking up the names of network peers, as reports do, would take far longer. */
function limitReported(): number | undefined {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean }; // not in its types yet
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft: unknown } } };
  report.excludeNetwork = excludeNetwork;
  return parseLimit(userLimits?.open_files?.soft);
}

function parseLimit(soft: unknown): number | undefined {
  if (soft === "unlimited") return Infinity;
  return soft === undefined || Number.isNaN(Number(soft)) ? undefined : Number(soft);
}

/** None left, in this process or in the whole system. */
function isExhaustion(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}
