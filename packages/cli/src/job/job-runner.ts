import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { PatientClient } from "../supervise/patient-client.ts";
import { encodeControlLine } from "@holdfast/host";
import type { ExecutionDetails, PeerReport } from "@holdfast/host";
import type { Value } from "@holdfast/core";
import type { Fleet } from "../fleet/define-fleet.ts";
import type { SupervisedNode } from "../supervise/supervised-node.ts";
import type { Supervisor } from "../supervise/supervisor.ts";
import type { FleetJob, JobReport, PreparedJob } from "./fleet-job.ts";
import { PeerTally } from "./peer-tally.ts";
import type { NodeRow } from "./progress.ts";
import type { Screen } from "./screen.ts";

/** Short against the time that a batch takes, so that chaos strikes where its plan says. */
const POLL_MS = 40;
/** A node that is stopped takes questions and does not answer them. */
const PATIENCE_MS = 2_000;

export interface JobRun {
  readonly fleet: Fleet;
  readonly job: FleetJob;
  readonly prepared: PreparedJob;
  readonly supervisor: Supervisor;
  readonly screen: Screen;
  readonly exportPath: string | undefined;
  readonly onProgress: (share: number) => void;
  /** The work is done, and not yet proved. */
  readonly onCompleted: () => void;
  /** Somebody wants the fleet down. */
  readonly stop: AbortSignal;
}

export interface JobOutcome {
  readonly report: JobReport;
  readonly peers: readonly PeerReport[];
  readonly elapsedMs: number;
}

/** The same input has the same id, so that a fleet that is started again goes on with what it had begun. */
export function jobId(job: FleetJob, { input }: PreparedJob): string {
  const what = encodeControlLine({ id: 0, method: `${job.flow.name}@${job.flow.version}`, params: { input } });
  return `job-${createHash("sha256").update(what).digest("hex").slice(0, 16)}`;
}

/** Runs a fleet's job to its end, through every death of its node. Throws what `stop` aborts with, and ControlError. */
export async function runJob(run: JobRun): Promise<JobOutcome> {
  const { job, prepared, supervisor, stop } = run;
  const id = jobId(job, prepared);
  const startedAt = performance.now();
  using client = new PatientClient((supervisor.nodes.get(job.node) as SupervisedNode).record);
  await client.call("start", { flow: job.flow.name, input: prepared.input, id }, stop);
  const tally = new PeerTally();
  await follow(run, client, tally, id, startedAt);
  const result = await client.call("result", { execution: id }, stop);
  const elapsedMs = performance.now() - startedAt;
  run.onCompleted();
  run.screen.end();
  const starts = await hostStarts(run);
  const report = await job.report({
    input: prepared.input,
    result,
    exportPath: run.exportPath,
    cells: (name) => readCells(client, name, stop),
    hostStarts: (group) => total(groupOf(run, group).map((node) => starts.get(node))),
    stop,
    say: (text) => run.screen.say(text),
  }).catch((error: unknown) => {
    stop.throwIfAborted(); // Whatever the report made of it.
    throw error;
  });
  tally.handleReports(await client.call("peers", {}, stop));
  return { report, peers: tally.reports(), elapsedMs };
}

/** Shows how far the job is until it has ended. */
async function follow(run: JobRun, client: PatientClient, tally: PeerTally, execution: string, startedAt: number): Promise<void> {
  const { job, supervisor, screen, stop } = run;
  let settled = { settled: 0, total: 0, inFlight: 0 };
  for (;;) {
    const details = await client.tryCall("execution", { execution }, AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]));
    stop.throwIfAborted();
    settled = progressOf(details, job.progress) ?? settled;
    if (details != null && details.state !== "running") return;
    tally.handleReports((await client.tryCall("peers", {}, AbortSignal.timeout(PATIENCE_MS))) ?? []);
    screen.show({ what: job.progress, ...settled, elapsedMs: performance.now() - startedAt }, nodeRows(supervisor, tally.reports()));
    if (settled.total > 0) run.onProgress(settled.settled / settled.total);
    await sleep(POLL_MS, undefined, { signal: stop }).catch(() => stop.throwIfAborted());
  }
}

function progressOf(details: ExecutionDetails | null | undefined, operation: string) {
  return details?.operations.find(({ name }) => name === operation)?.progress ?? undefined;
}

function nodeRows(supervisor: Supervisor, peers: readonly PeerReport[]): NodeRow[] {
  return [...supervisor.nodes.values()].map(({ record, pid, state, deaths }) =>
    ({ name: record.name, pid, state, deaths, peer: peers.find(({ name }) => name === record.name) }));
}

async function* readCells(client: PatientClient, cells: string, stop: AbortSignal): AsyncGenerator<readonly [string, Value]> {
  let page = await client.call("cells-range", { cells }, stop);
  while (page.length > 0) {
    yield* page;
    page = await client.call("cells-range", { cells, after: (page.at(-1) as readonly [string, Value])[0] }, stop);
  }
}

/** By node. Nodes count over all their lives; one that does not answer in time is left out. */
async function hostStarts({ supervisor }: JobRun): Promise<Map<string, number>> {
  const counted = [...supervisor.nodes.values()].map(async ({ record }): Promise<[string, number] | undefined> => {
    using client = new PatientClient(record);
    const status = await client.call("status", {}, AbortSignal.timeout(PATIENCE_MS)).catch(() => undefined);
    return status && [record.name, status.counters["host-starts"] ?? 0];
  });
  return new Map((await Promise.all(counted)).filter((pair) => pair !== undefined));
}

function groupOf({ fleet, job }: JobRun, group: string): readonly string[] {
  return fleet.node(job.node).groups[group] ?? [];
}

function total(counts: readonly (number | undefined)[]): number | null {
  return counts.reduce<number | null>((sum, count) => (sum === null || count === undefined ? null : sum + count), 0);
}
