/**
 * Runs one job while its members are killed at random moments, and then has it proved: nothing lost, nothing merged
 * twice. `npm run kill-test -- --kills N [--dir FOLDER] [--data DIR] [--seed S] [--fleet FILE]`
 *
 * The job is the fleet file's, over the folder or, without one, over a corpus made for the test: batches enough that the
 * kills fall into its course. When the job is over before the last kill, it is run again, with fresh state, until all
 * kills were made.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { exitStatusOf, faultText } from "./faults.ts";
import { FleetDirectory } from "./fleet/fleet-directory.ts";
import { loadFleet } from "./fleet/load-fleet.ts";
import { openFleet } from "./fleet/open-fleet.ts";
import { jobId, runJob } from "./job/job-runner.ts";
import { proofText, reportText } from "./job/report-text.ts";
import { openScreen } from "./job/screen.ts";
import { SeededChoice } from "./job/seeded-choice.ts";
import { stopOnSignals } from "./supervise/stop-signals.ts";
import { Supervisor } from "./supervise/supervisor.ts";
import type { Fleet } from "./fleet/define-fleet.ts";
import type { FleetJob, PreparedJob } from "./job/fleet-job.ts";
import type { Screen } from "./job/screen.ts";

const FLEET_DEFAULT = fileURLToPath(new URL("../../../examples/text-index/fleet.ts", import.meta.url));
/** Between two kills, at random: from under a node's start-up time to a few batches. */
const SPACING_MS_MIN = 30;
const SPACING_MS_MAX = 1_300;
/** This share of the kills takes anybody; the others take nodes at work, and not ones that are just starting again. */
const STARTING_SHARE = 0.25;
/** And this share takes the broker, whose nodes must not notice. */
const BROKER_SHARE = 0.1;
/** Corpus for the test: this many files a kill, of this many words. */
const FILES_PER_KILL = 150;
const WORDS_PER_FILE = 3_000;

interface Options {
  readonly kills: number;
  readonly seed: number;
  readonly dir?: string;
  readonly data?: string;
  readonly fleet: string;
}

/** Kills nodes until none are left to make or it is stopped. */
class Killer {
  made = 0;
  readonly #kills: number;
  readonly #choice: SeededChoice;
  readonly #say: (text: string) => void;

  constructor(kills: number, seed: number, say: (text: string) => void) {
    this.#kills = kills;
    this.#choice = new SeededChoice(seed);
    this.#say = say;
  }

  /** At random moments until the returned function is called. A node that is just not there is no kill. */
  begin(supervisor: Supervisor): () => void {
    let timer: NodeJS.Timeout;
    const wait = () => {
      if (this.made >= this.#kills) return;
      timer = setTimeout(strike, SPACING_MS_MIN + this.#choice.fraction() * (SPACING_MS_MAX - SPACING_MS_MIN));
    };
    const strike = () => {
      if (!this.#strikeBroker(supervisor)) this.#strikeNode(supervisor);
      wait();
    };
    wait();
    return () => clearTimeout(timer);
  }

  #strikeBroker(supervisor: Supervisor): boolean {
    const { brokerPid } = supervisor;
    if (this.#choice.fraction() >= BROKER_SHARE || !supervisor.killBroker()) return false;
    this.#say(`kill ${++this.made} of ${this.#kills}: the broker (${brokerPid})`);
    return true;
  }

  #strikeNode(supervisor: Supervisor): void {
    const nodes = [...supervisor.nodes.values()];
    const running = nodes.filter(({ state }) => state === "running");
    const among = running.length > 0 && this.#choice.fraction() >= STARTING_SHARE ? running : nodes;
    const node = this.#choice.of(among);
    const { pid } = node ?? {};
    const state = node?.state ?? "";
    if (node?.signal("SIGKILL") === true) this.#say(`kill ${++this.made} of ${this.#kills}: ${node.record.name} (${pid ?? "-"}, ${state})`);
  }
}

async function killTest({ kills, seed, dir, data, fleet: file }: Options): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), "holdfast-kill-test-"));
  const screen = openScreen();
  screen.say(`seed ${seed}`);
  try {
    const fleet = await loadFleet(file);
    if (fleet.job === undefined) throw new Error(`${file} has no job`);
    const folder = dir ?? makeCorpus(join(scratch, "corpus"), kills, seed);
    const prepared = await fleet.job.prepare([folder]);
    const killer = new Killer(kills, seed, (text) => screen.say(text));
    for (let round = 1; round === 1 || killer.made < kills; round++) {
      const directory = new FleetDirectory(join(data ?? join(scratch, "data"), `round-${round}`));
      const holds = await runRound({ fleet, file: resolve(file), job: fleet.job, prepared, directory, screen, killer });
      if (!holds) {
        screen.say(`FAILED in round ${round} with seed ${seed}`);
        return 1;
      }
    }
    screen.say(`passed: ${killer.made} kills, seed ${seed}`);
    return 0;
  } finally {
    screen.end();
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Round {
  readonly fleet: Fleet;
  readonly file: string;
  readonly job: FleetJob;
  readonly prepared: PreparedJob;
  readonly directory: FleetDirectory;
  readonly screen: Screen;
  readonly killer: Killer;
}

async function runRound({ fleet, file, job, prepared, directory, screen, killer }: Round): Promise<boolean> {
  const say = (text: string) => screen.say(text);
  const record = { id: jobId(job, prepared), title: prepared.title, args: [], completed: false };
  const { lock, nodes } = await openFleet({ fleet, file, directory, job: record, keep: false, say });
  const supervisor = new Supervisor({ file, data: directory.path, nodes, fleet });
  const stop = stopOnSignals(() => process.exit(1));
  let end = () => {};
  try {
    await supervisor.start();
    end = killer.begin(supervisor);
    const { report, elapsedMs } = await Promise.race([supervisor.refused, runJob({
      fleet, job, prepared, supervisor, screen, stop, exportPath: undefined, onProgress: () => {}, onCompleted: () => end(),
    })]);
    say(reportText(report, elapsedMs));
    say(proofText(report));
    return report.proofs.every(({ holds }) => holds);
  } finally {
    end();
    await supervisor.drain();
    lock.release();
  }
}

/** Text of made-up words, the same for the same seed. */
function makeCorpus(folder: string, kills: number, seed: number): string {
  const choice = new SeededChoice(seed ^ 0x5bd1e995);
  for (let file = 0; file < Math.max(600, kills * FILES_PER_KILL); file++) {
    const inside = join(folder, String(file % 50));
    mkdirSync(inside, { recursive: true });
    // Squared, so that some words are common and most are rare.
    const words = Array.from({ length: WORDS_PER_FILE }, () => `w${Math.floor(choice.fraction() ** 2 * 20_000).toString(36)}`);
    writeFileSync(join(inside, `${file}.txt`), words.join(" "));
  }
  return folder;
}

const command = new Command("kill-test")
  .requiredOption("--kills <number>", "kills to be made", Number)
  .option("--seed <number>", "what moments and victims are drawn from", Number, Math.floor(Math.random() * 0x1_0000_0000))
  .option("--dir <folder>", "what to index (default: made for the test)")
  .option("--data <dir>", "where state is kept, and stays (default: a temporary directory)")
  .option("--fleet <file>", "a fleet file with a job that takes a folder", FLEET_DEFAULT);

try {
  process.exitCode = await killTest(command.parse().opts<Options>());
} catch (error) {
  console.error(`kill-test: ${faultText(error) ?? ""}`);
  process.exitCode = exitStatusOf(error);
}
process.exit();
