import { RuntimeError } from "@holdfast/core";
import { ControlError, EXECUTION_FAILED } from "@holdfast/host";
import { CommanderError } from "commander";
import type { Refusal } from "@holdfast/broker";
import type { ErrorCode } from "@holdfast/core";
import type { ExecutionFailedDetails } from "@holdfast/host";

/** What is wrong with the command, or with the files that it was given, and not with what it tried to do. */
const USAGE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "OPTION_INVALID", "FLEET_INVALID", "NODE_REFUSED", "FLOW_INVALID", "FLEET_BUSY", "ADDRESS_INVALID", "ADDRESS_IN_USE", "PEER_ID_INVALID", "PEER_UNKNOWN",
  "STORE_FOREIGN", "IDENTITY_INVALID", "SERVICE_INVALID", "BROKER_REFUSED",
]);

/** 2: bad usage, nothing was done. 1: it was tried and failed. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  // What a node finds wrong with the words of a command is as wrong as what we find ourselves.
  return (error instanceof RuntimeError || error instanceof ControlError) && USAGE_CODES.has(error.code) ? 2 : 1;
}

/** One line for people; undefined if the command line's parser has said it all. HOLDFAST_DEBUG adds the stack. */
export function faultText(error: unknown): string | undefined {
  if (error instanceof CommanderError) return undefined;
  const stack = process.env["HOLDFAST_DEBUG"] !== undefined && error instanceof Error ? `\n${error.stack ?? ""}` : "";
  return `${oneLine(messageOf(error))}${stack}`;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof ControlError && error.code === EXECUTION_FAILED) {
    const { execution, failure } = error.details as ExecutionFailedDetails;
    const place = failure.at.length === 0 ? "" : ` at ${failure.at.join(" < ")}`;
    return `execution ${execution} failed: ${failure.code}: ${failure.message}${place}${issuesText(failure.details)}`;
  }
  if (isRefusal(error)) return refusalText(error);
  if (error instanceof ControlError && !error.message.startsWith(error.code)) return `${error.code}: ${error.message}`;
  return error.message;
}

/** A broker's. Told by its name: no other command needs to load the broker's classes. */
function isRefusal(error: Error): error is Error & Refusal {
  return error.name === "RefusedError";
}

function refusalText({ message, retryAfterMs, details }: Error & Refusal): string {
  const more = [
    ...(typeof details["output"] === "string" ? [`its output: ${details["output"]}`] : []),
    ...(retryAfterMs === null ? [] : [`retry after ${retryAfterMs} ms`]),
  ];
  return more.length === 0 ? message : `${message} (${more.join(", ")})`;
}

function issuesText(details: unknown): string {
  return details === null || details === undefined ? "" : ` ${JSON.stringify(details, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part))}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
