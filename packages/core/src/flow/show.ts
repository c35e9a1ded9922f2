import { NS_PER_MS } from "../base/time.ts";
import { unreachable } from "../base/assert.ts";
import { Compiler } from "./compile/compile.ts";
import type { DraftOperation, DraftProgram } from "./draft.ts";
import type { AnyFlow } from "./flow.ts";

/** A pass and what it made of a program, as text. */
export interface ShownPass {
  /** The flow, or a child program that was made up for one of its remote maps. */
  readonly program: string;
  readonly pass: string;
  readonly before: string;
  readonly after: string;
}

/** What each pass of the compiler makes of a flow. Throws FLOW_INVALID as compiling does. */
export function showPasses(flow: AnyFlow): ShownPass[] {
  return new Compiler().stages(flow).map(({ pass, before, after }) => {
    return { program: after.name, pass, before: programToText(before), after: programToText(after) };
  });
}

/**
 * A program as text, one line an operation: its number, kind and name, what it reads and writes, its deadline.
 *
 *     1  gate  gate:call-greet  select-all → gate:call-greet.permit
 */
export function programToText(program: DraftProgram): string {
  const names = slotNames(program);
  const slots = (list: readonly number[]) => list.map((slot) => names[slot] ?? `slot ${slot}`).join(", ");
  const rows = program.operations.map((operation, index) => {
    const failure = operation.onError === null ? "" : `, ${slots([operation.onError])}`;
    const deadline = "deadlineNs" in operation ? `deadline ${durationText(operation.deadlineNs)}` : "";
    const flowOf = `${slots(operation.inputs)} → ${slots(operation.outputs)}${failure}`.trim();
    return [String(index), operation.kind, operation.name, flowOf, [detailOf(operation), deadline].filter(Boolean).join(", ")];
  });
  return [
    `flow ${program.name}@${program.version}, deadline ${durationText(program.deadlineNs)}, ${program.slots} slots`,
    ...(program.subscribes.length === 0 ? [] : [`on   ${program.subscribes.join(", ")}`]),
    `in   ${program.inputs.map(({ name, schema }) => `${name}: ${schema ?? "any"}`).join(", ") || "nothing"}`,
    ...aligned(rows),
    `out  ${program.outputs.map(({ name, slot, schema }) => `${name}: ${schema ?? "any"} = ${slots([slot])}`).join(", ") || "nothing"}`,
    "",
  ].join("\n");
}

/** A program as a Mermaid flowchart; failures are dotted. */
export function programToMermaid(program: DraftProgram): string {
  const names = slotNames(program);
  const lines = ["flowchart TD"];
  const sources = new Map<number, { node: string; arrow: string }>();
  program.inputs.forEach(({ name, slot }, index) => {
    lines.push(`  in${index}([${quoted(name)}])`);
    sources.set(slot, { node: `in${index}`, arrow: "-->" });
  });
  program.operations.forEach((operation, index) => {
    lines.push(`  op${index}[${quoted(operation.kind, operation.name)}]`);
    for (const slot of operation.outputs) sources.set(slot, { node: `op${index}`, arrow: "-->" });
    if (operation.onError !== null) sources.set(operation.onError, { node: `op${index}`, arrow: "-.->" });
  });
  const edge = (slot: number, to: string) => {
    const source = sources.get(slot);
    if (source !== undefined) lines.push(`  ${source.node} ${source.arrow}|${quoted(names[slot] ?? "")}| ${to}`);
  };
  program.operations.forEach((operation, index) => {
    for (const slot of new Set(operation.inputs)) edge(slot, `op${index}`);
  });
  program.outputs.forEach(({ name, slot }, index) => {
    lines.push(`  out${index}([${quoted(name)}])`);
    edge(slot, `out${index}`);
  });
  return `${lines.join("\n")}\n`;
}

/** A name for each slot: the input port's, or the operation's with what it is to it. */
function slotNames(program: DraftProgram): string[] {
  const names: string[] = [];
  for (const { name, slot } of program.inputs) names[slot] = name;
  for (const operation of program.operations) {
    operation.outputs.forEach((slot, index) => (names[slot] = `${operation.name}${outputSuffix(operation, index)}`));
    if (operation.onError !== null) names[operation.onError] = `${operation.name}.failure`;
  }
  return names;
}

function outputSuffix(operation: DraftOperation, index: number): string {
  if (operation.kind === "gate") return ".permit";
  return operation.kind === "call" ? `.${operation.results[index] ?? index}` : "";
}

/** What the operation refers to, in a few words. */
function detailOf(operation: DraftOperation): string {
  switch (operation.kind) {
    case "constant": return JSON.stringify(operation.value, jsonPart);
    case "pure":
    case "host": return operation.fn;
    case "select": return `group ${operation.group}`;
    case "send": return `flow ${operation.flow}${chainText(operation)}`;
    case "call": return `flow ${operation.flow}${chainText(operation)}, ${operation.attempts} attempts${hedgeText(operation)}`;
    case "map-flow": return `flow ${operation.flow}, ${operation.remote ? `remote, ${operation.attempts} attempts${hedgeText(operation)}` : "local"}, ${mapText(operation)}`;
    case "map": return `program ${operation.program.slice(0, 12)}, ${mapText(operation)}`;
    case "update": return `cells ${operation.cells}, ${operation.fn}`;
    case "read": return `cells ${operation.cells} by ${operation.by}`;
    case "wait": return `event ${operation.event}: ${operation.schema ?? "any"}`;
    case "sleep": return operation.inputs.length > 0 ? "for its first input" : durationText(operation.durationNs);
    case "output": return `port ${operation.port}`;
    case "gate":
    case "clock":
    case "race": return "";
    default: return unreachable(operation);
  }
}

function mapText(operation: Extract<DraftOperation, { kind: "map" | "map-flow" }>): string {
  const into = operation.into.map(({ cells }) => cells).join(" + ");
  return `${operation.concurrency} at a time, ${operation.onItemFailure}${into === "" ? "" : `, into ${into}`}`;
}

function chainText({ chain }: Extract<DraftOperation, { kind: "send" | "call" }>): string {
  return chain === null ? "" : `, chain ${chain.id} hop ${chain.hop}`;
}

/** JSON has neither bigints nor bytes. */
function jsonPart(_key: string, part: unknown): unknown {
  if (typeof part === "bigint") return `${part}n`;
  return part instanceof Uint8Array ? `${part.length} bytes` : part;
}

function durationText(ns: number | "never"): string {
  if (ns === "never") return "never";
  const ms = ns / NS_PER_MS;
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}

/** A label for Mermaid, a line each: quoted, with what would end the quotes or start markup written as entities. */
function quoted(...lines: readonly string[]): string {
  const safe = lines.map((line) => line.replaceAll("#", "#35;").replaceAll('"', "#quot;").replaceAll("<", "#lt;"));
  return `"${safe.join("<br/>")}"`;
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length))) ?? [];
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join("  ")}`.trimEnd());
}

function hedgeText({ hedge }: { readonly hedge?: "never" }): string {
  return hedge === undefined ? "" : ", never hedged";
}
