/**
 * Kills the members of a fleet at random moments while it is asked without pause, and then checks that nothing it
 * acknowledged is lost and nothing took effect twice. `npm run kill-test -- --kills N [--seed S] [--data DIR]`
 *
 * Real processes, real SQLite, SIGKILL. Every round has fresh state, so that a long test is not slowed down by its past.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { exitStatusOf, faultText } from "./faults.ts";
import { FleetDirectory } from "./fleet/fleet-directory.ts";
import { loadFleet } from "./fleet/load-fleet.ts";
import { openFleet } from "./fleet/open-fleet.ts";
import { SeededChoice } from "./job/seeded-choice.ts";
import { type Moment, MOMENTS, Requester } from "./kill-test/requester.ts";
import { stopOnSignals } from "./supervise/stop-signals.ts";
import { Supervisor } from "./supervise/supervisor.ts";
import type { Fleet } from "./fleet/define-fleet.ts";
import type { SupervisedNode } from "./supervise/supervised-node.ts";

const FLEET = fileURLToPath(new URL("./kill-test/counting.fleet.ts", import.meta.url));
const ROUND_KILLS = 100;
/** Between two kills, at random: from under a node's start-up time to dozens of requests. */
const SPACING_MS_MIN = 30;
const SPACING_MS_MAX = 1_000;
/** Of the kills, this share takes the broker, whose nodes must not notice … */
const BROKER_SHARE = 0.1;
/** … this share a node at the moment when it acknowledges something or begins its work outside … */
const MOMENT_SHARE = 0.5;
/** … and this share any node, were it just starting again. The others take nodes at work. */
const STARTING_SHARE = 0.2;
/** There may be no such moment while peers are down. */
const MOMENT_MS_MAX = 500;
/** After the last kill, for what was acknowledged to have its result. */
const CALM_MS_MAX = 60_000;

interface Options {
  readonly kills: number;
  readonly seed: number;
  readonly data?: string;
}

class Killer {
  made = 0;
  readonly #kills: number;
  readonly #choice: SeededChoice;

  constructor(kills: number, seed: number) {
    this.#kills = kills;
    this.#choice = new SeededChoice(seed);
  }

  /** At random moments until so many were made altogether. A node that is just not there is no kill. */
  async run(supervisor: Supervisor, requester: Requester, until: number, stop: AbortSignal): Promise<void> {
    while (this.made < until) {
      await sleep(SPACING_MS_MIN + this.#choice.fraction() * (SPACING_MS_MAX - SPACING_MS_MIN), undefined, { signal: stop });
      const victim = await this.#strike(supervisor, requester);
      if (victim !== undefined) console.log(`kill ${++this.made} of ${this.#kills}: ${victim}`);
    }
  }

  async #strike(supervisor: Supervisor, requester: Requester): Promise<string | undefined> {
    const drawn = this.#choice.fraction();
    if (drawn < BROKER_SHARE) return strikeBroker(supervisor);
    if (drawn < BROKER_SHARE + MOMENT_SHARE) return await strikeInMoment(supervisor, requester, this.#choice.of(MOMENTS) as Moment);
    const nodes = [...supervisor.nodes.values()];
    const isAny = drawn < BROKER_SHARE + MOMENT_SHARE + STARTING_SHARE;
    const node = this.#choice.of(isAny ? nodes : nodes.filter(({ state }) => state === "running"));
    return node === undefined ? undefined : strikeNode(node, node.state);
  }
}

function strikeBroker(supervisor: Supervisor): string | undefined {
  const { brokerPid } = supervisor;
  return supervisor.killBroker() ? `the broker (${brokerPid})` : undefined;
}

function strikeInMoment({ nodes }: Supervisor, requester: Requester, moment: Moment): Promise<string | undefined> {
  return new Promise((done) => {
    const end = (victim: string | undefined) => {
      clearTimeout(late);
      requester.onMoment = () => {};
      done(victim);
    };
    const late = setTimeout(() => end(undefined), MOMENT_MS_MAX);
    requester.onMoment = (name, doing) => {
      const node = nodes.get(name);
      if (doing === moment && node !== undefined) end(strikeNode(node, doing));
    };
  });
}

function strikeNode(node: SupervisedNode, doing: string): string | undefined {
  const { pid = "-" } = node;
  return node.signal("SIGKILL") ? `${node.record.name} (${pid}, ${doing})` : undefined;
}

async function killTest({ kills, seed, data }: Options): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), "holdfast-kill-test-"));
  const stop = stopOnSignals(() => process.exit(1));
  const killer = new Killer(kills, seed);
  const fleet = await loadFleet(FLEET);
  console.log(`seed ${seed}`);
  try {
    for (let round = 1; killer.made < kills; round++) {
      const home = join(data ?? scratch, `round-${round}`);
      const until = Math.min(kills, killer.made + ROUND_KILLS);
      const { acknowledged, violations } = await runRound(fleet, home, killer, until, stop);
      for (const violation of violations) console.log(violation);
      if (violations.length > 0) {
        console.log(`FAILED in round ${round} with seed ${seed}`);
        return 1;
      }
      console.log(`round ${round}: ${acknowledged} requests acknowledged, none lost, none counted twice`);
      if (data === undefined) rmSync(home, { recursive: true });
    }
    console.log(`passed: ${killer.made} kills, seed ${seed}`);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runRound(fleet: Fleet, home: string, killer: Killer, until: number, stop: AbortSignal) {
  const outside = join(home, "outside");
  mkdirSync(outside, { recursive: true });
  const directory = new FleetDirectory(join(home, "fleet"));
  const { lock, nodes } = await openFleet({ fleet, file: FLEET, directory, job: undefined, keep: false, say: (text) => console.log(text) });
  const supervisor = new Supervisor({ file: FLEET, data: directory.path, nodes, fleet });
  const requester = new Requester(nodes, outside);
  try {
    await supervisor.start();
    const asking = requester.run(stop);
    await Promise.race([killer.run(supervisor, requester, until, stop), asking, supervisor.refused]);
    requester.finish();
    const calm = AbortSignal.any([stop, AbortSignal.timeout(CALM_MS_MAX)]);
    await Promise.race([asking, supervisor.refused, rejectionBy(calm)]);
    return { acknowledged: requester.acknowledged, violations: await requester.violations(calm) };
  } finally {
    await supervisor.drain();
    lock.release();
  }
}

function rejectionBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
}

const command = new Command("kill-test")
  .requiredOption("--kills <number>", "kills to be made", Number)
  .option("--seed <number>", "what moments and victims are drawn from", Number, Math.floor(Math.random() * 0x1_0000_0000))
  .option("--data <dir>", "where state is kept, and stays (default: a temporary directory)");

try {
  process.exitCode = await killTest(command.parse().opts<Options>());
} catch (error) {
  console.error(`kill-test: ${faultText(error) ?? ""}`);
  process.exitCode = exitStatusOf(error);
}
process.exit();
