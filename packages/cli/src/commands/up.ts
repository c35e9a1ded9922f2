import { resolve } from "node:path";
import { RuntimeError } from "@holdfast/core";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { loadFleet } from "../fleet/load-fleet.ts";
import { openFleet } from "../fleet/open-fleet.ts";
import { Chaos } from "../job/chaos.ts";
import { jobId, runJob } from "../job/job-runner.ts";
import { peersText, proofText, reportText } from "../job/report-text.ts";
import { openScreen } from "../job/screen.ts";
import { prettyLine } from "../supervise/log-line.ts";
import { Stopped, stopOnSignals } from "../supervise/stop-signals.ts";
import { Supervisor } from "../supervise/supervisor.ts";
import type { Fleet } from "../fleet/define-fleet.ts";
import type { JobRecord } from "../fleet/fleet-directory.ts";
import type { FleetJob, PreparedJob } from "../job/fleet-job.ts";
import type { JobOutcome } from "../job/job-runner.ts";
import type { Screen } from "../job/screen.ts";

export interface UpOptions {
  readonly data?: string;
  /** False: kill and stop nobody. */
  readonly chaos: boolean;
  /** Leave the fleet up when its job is done. */
  readonly keep?: boolean;
  readonly export?: string;
  readonly seed?: number;
}

interface Up {
  readonly fleet: Fleet;
  readonly directory: FleetDirectory;
  readonly supervisor: Supervisor;
  readonly screen: Screen;
  readonly stop: AbortSignal;
  readonly options: UpOptions;
}

/** Runs a fleet: all its nodes, and its job if it has one. Returns the exit status. */
export async function up(file: string, args: readonly string[], options: UpOptions): Promise<number> {
  const fleet = await loadFleet(file);
  const prepared = await prepareJob(fleet, args);
  const directory = FleetDirectory.ofFleet(fleet.name, options.data);
  const screen = openScreen();
  const job = fleet.job && prepared && jobRecord(fleet.job, prepared, args);
  const say = (text: string) => screen.say(text);
  const opened = await openFleet({ fleet, file: resolve(file), directory, job, keep: options.keep === true, say });
  using lock = opened.lock;
  const supervisor = new Supervisor({ file: resolve(file), data: directory.path, nodes: opened.nodes, fleet });
  const stop = stopOnSignals(() => {
    supervisor.kill();
    process.exit(1);
  });
  showEvents(supervisor, screen);
  const running: Up = { fleet, directory, supervisor, screen, stop, options };
  try {
    await Promise.race([supervisor.start(), aborted(stop)]);
    say(`broker  ${supervisor.brokerPid}  ${opened.nodes[0]?.service.domain ?? ""}`);
    for (const { name, id, address } of opened.nodes) say(`${name}  ${supervisor.nodes.get(name)?.pid ?? ""}  ${id}  ${address ?? "only dials"}`);
    if (fleet.job === undefined || prepared === undefined || job === undefined) {
      return await Promise.race([aborted(stop), supervisor.refused]);
    }
    return await withJob(running, fleet.job, prepared, job);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    screen.end();
    say(job === undefined || directory.readJob()?.completed === true ? "draining" : "draining; the same command goes on with the job");
    return 0;
  } finally {
    screen.end();
    await supervisor.drain();
    if (directory.readJob()?.completed === true && options.keep !== true) {
      directory.clear(fleet);
      directory.remove();
    }
    lock.release();
  }
}

async function withJob(running: Up, job: FleetJob, prepared: PreparedJob, record: JobRecord): Promise<number> {
  const { fleet, directory, supervisor, screen, stop, options } = running;
  screen.say(prepared.title);
  const seed = options.seed ?? Math.floor(Math.random() * 0x1_0000_0000);
  const say = (text: string) => screen.say(text);
  const chaos = job.chaos && options.chaos
    ? new Chaos({ plan: job.chaos, groups: fleet.node(job.node).groups, victims: victimsOf(supervisor), seed, say })
    : undefined;
  if (chaos !== undefined) say(`chaos with seed ${seed}`);
  const outcome = await Promise.race([supervisor.refused, runJob({
    fleet, job, prepared, supervisor, screen, stop,
    exportPath: options.export,
    onProgress: (share) => chaos?.handleProgress(share),
    onCompleted: () => chaos?.finish(),
  })]).finally(() => chaos?.finish());
  directory.writeJob({ ...record, completed: true });
  showOutcome(screen, outcome, supervisor, chaos);
  const holds = outcome.report.proofs.every((proof) => proof.holds);
  if (options.keep === true) {
    say(`the fleet stays up until Ctrl-C; its data is in ${directory.path}`);
    await Promise.race([aborted(stop), supervisor.refused]).catch((error: unknown) => {
      if (!(error instanceof Stopped)) throw error;
    });
  }
  return holds ? 0 : 1;
}

async function prepareJob({ job }: Fleet, args: readonly string[]): Promise<PreparedJob | undefined> {
  if (job === undefined) {
    if (args.length > 0) throw new RuntimeError("OPTION_INVALID", { arguments: args.join(" "), reason: "the fleet has no job that takes any" });
    return undefined;
  }
  try {
    return await job.prepare(args);
  } catch (error) {
    throw new RuntimeError("OPTION_INVALID", { reason: (error as Error).message }, { cause: error });
  }
}

function jobRecord(job: FleetJob, prepared: PreparedJob, args: readonly string[]): JobRecord {
  return { id: jobId(job, prepared), title: prepared.title, args, completed: false };
}

export function victimsOf(supervisor: Supervisor) {
  return {
    signal: (node: string, signal: NodeJS.Signals) => supervisor.nodes.get(node)?.signal(signal) ?? false,
    pid: (node: string) => supervisor.nodes.get(node)?.pid,
    brokerPid: () => supervisor.brokerPid,
    killBroker: () => supervisor.killBroker(),
  };
}

/** Deaths and returns, and what nodes warn of. The rest is in the nodes' logs. */
function showEvents(supervisor: Supervisor, screen: Screen): void {
  const died = new Set<string>();
  supervisor.onEvent((event) => {
    if (event.kind === "died") {
      died.add(event.node);
      screen.say(`${event.node} died (${event.how}); starting it again in ${event.restartInMs} ms`);
    } else if (event.kind === "ready" && died.delete(event.node)) {
      screen.say(`${event.node} is back (process ${supervisor.nodes.get(event.node)?.pid ?? "-"})`);
    } else if (event.kind === "logged" && (event.line.level === "warn" || event.line.level === "error")) {
      screen.warn(process.stderr.isTTY ? prettyLine(event.line) : JSON.stringify(event.line));
    } else if (event.kind === "silent") {
      screen.say(`${event.node} does not answer (process ${supervisor.nodes.get(event.node)?.pid ?? "-"}); waiting for it`);
    } else if (event.kind === "broker-lost") {
      screen.say(`the broker died (process ${event.pid}); its nodes go on, and another one takes them over`);
    } else if (event.kind === "broker-back") {
      screen.say(`the broker is back (process ${event.pid})`);
    }
  });
}

function showOutcome(screen: Screen, { report, peers, elapsedMs }: JobOutcome, supervisor: Supervisor, chaos: Chaos | undefined): void {
  screen.end();
  screen.say(reportText(report, elapsedMs));
  screen.say(peersText(peers, (name) => supervisor.nodes.get(name)?.deaths ?? 0));
  if (chaos !== undefined) {
    const missed = chaos.ahead === 0 ? "" : `; the job was over before ${chaos.ahead} of its moments came`;
    screen.say(`chaos: ${chaos.done} kills and stops${missed}`);
  }
  screen.say(proofText(report));
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, refuse) => {
    if (signal.aborted) refuse(signal.reason as Error);
    signal.addEventListener("abort", () => refuse(signal.reason as Error), { once: true });
  });
}
