import { RuntimeError } from "@holdfast/core";
import { ask, jsonText } from "./ask.ts";
import { tableText } from "./table.ts";
import { timeText } from "./time-text.ts";
import type { ExecutionDetails, OperationReport } from "@holdfast/host";
import type { Target } from "./ask.ts";

interface Options extends Target {
  readonly json?: boolean;
}

export async function listExecutions({ json, ...target }: Options): Promise<void> {
  const executions = await ask(target, (client) => client.call("executions", {}));
  if (json === true) return console.log(jsonText(executions));
  const rows = executions.map(({ id, flow, state, origin, startedAtMs, endedAtMs }) =>
    [id, flow, state, origin, timeText(startedAtMs), timeText(endedAtMs)]);
  console.log(tableText(["id", "flow", "state", "started by", "started", "ended"], rows));
  console.log("Results are kept for 24 h, and the latest 10 000 at most.");
}

export async function showExecution(id: string, { json, ...target }: Options): Promise<void> {
  const details = await ask(target, (client) => client.call("execution", { execution: id }));
  if (details === null) throw new RuntimeError("NOT_FOUND", { execution: id });
  console.log(json === true ? jsonText(details) : detailsText(details));
}

export async function cancelExecution(id: string, target: Target): Promise<void> {
  const cancelled = await ask(target, (client) => client.call("cancel", { execution: id }));
  console.log(cancelled ? `${id} is cancelled` : `${id} had ended`);
}

export async function retryExecution(id: string, target: Target): Promise<void> {
  await ask(target, (client) => client.call("retry", { execution: id }));
  console.log(`${id} is started again`);
}

export function detailsText(details: ExecutionDetails): string {
  const { id, flow, state, origin, startedAtMs, endedAtMs, deadlineAtMs, operations, outcome } = details;
  const lines = [
    `${id}: ${flow}, ${state}, started by ${origin} at ${timeText(startedAtMs)}, ` +
      (endedAtMs === null ? `deadline ${timeText(deadlineAtMs)}` : `ended ${timeText(endedAtMs)}`),
  ];
  if (operations.length > 0) {
    lines.push(tableText(["operation", "kind", "state", "waits for", "until", "progress"], operations.map((operation) => [
      operation.name, operation.kind, operation.state, operation.waitsFor ?? "-", timeText(operation.untilMs), progressText(operation),
    ])));
  }
  if (outcome?.ok === true) lines.push(`outputs ${jsonText(outcome.value)}`);
  if (outcome?.ok === false) lines.push(`failure ${outcome.failure.code}: ${outcome.failure.message} (${outcome.failure.at.join(" < ")})`);
  return lines.join("\n");
}

function progressText({ progress }: OperationReport): string {
  if (progress === null) return "-";
  const { settled, total, failed, inFlight } = progress;
  return `${settled} of ${total}, ${inFlight} in flight${failed === 0 ? "" : `, ${failed} failed`}`;
}
