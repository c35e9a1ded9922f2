import { RuntimeError } from "../base/errors.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { parseSlotKey } from "../engine/execution.ts";
import { RowReader } from "../engine/row-reader.ts";
import { readNodeRow } from "../engine/restore.ts";
import { ROW, type Encoded } from "../engine/rows.ts";
import type { Lineage } from "../base/ids.ts";

/** Fields of the rows that change. */
const NODE_LINEAGE = 2;
const EXECUTION_PROGRAM = 0;
const EXECUTION_ORIGIN = 1;
const COMMAND_EXECUTION = 1;
const COMMAND_ATTEMPTS = 7;
const COMMAND_FAILED_PEERS = 8;

const REASON = "this node's history was given up";

/**
 * The same state under a new lineage: the history that peers share with this node is given up. Sessions and unsent
 * envelopes go; so does what peers had asked, since nobody waits for it any more; a request that may have reached its
 * peer loses that attempt (the engine ends a call without attempts as OUTCOME_UNKNOWN), one that never left is asked
 * again. Ids go on, so that none is used twice. Throws SNAPSHOT_INVALID.
 */
export function withNewLineage(rows: readonly Encoded[], lineage: Lineage): Encoded[] {
  const dropped = executionsFromPeers(rows);
  const kept: Encoded[] = [];
  for (const [key, bytes] of rows) {
    if (key.startsWith(ROW.session) || key.startsWith(ROW.outbox)) continue;
    if (key.startsWith(ROW.execution) && dropped.has(key.slice(ROW.execution.length))) continue;
    if (key.startsWith(ROW.slot) && dropped.has(parseSlotKey(key).id)) continue;
    if (key === ROW.node) {
      readNodeRow(bytes);
      kept.push([key, encodeValue(fieldsOf(key, bytes).with(NODE_LINEAGE, lineage))]);
    } else if (key === ROW.frontier) {
      const [ready] = fieldsOf(key, bytes) as [readonly (readonly [string, number])[]];
      kept.push([key, encodeValue([ready.filter(([execution]) => !dropped.has(execution))])]);
    } else if (key.startsWith(ROW.command)) {
      const fields = fieldsOf(key, bytes);
      if (!dropped.has(fields[COMMAND_EXECUTION] as string)) kept.push([key, encodeValue(withoutSentAttempts(fields))]);
    } else kept.push([key, bytes]);
  }
  return withoutUnusedPrograms(kept);
}

/** What peers asked for, and the children of that, all the way down. */
function executionsFromPeers(rows: readonly Encoded[]): Set<string> {
  const dropped = new Set<string>();
  const executionOf = new Map<number, string>();
  const parents: { id: string; command: number }[] = [];
  for (const [key, bytes] of rows) {
    if (key.startsWith(ROW.command)) {
      executionOf.set(Number(key.slice(ROW.command.length)), fieldsOf(key, bytes)[COMMAND_EXECUTION] as string);
    } else if (key.startsWith(ROW.execution)) {
      const id = key.slice(ROW.execution.length);
      const [kind, command] = fieldsOf(key, bytes)[EXECUTION_ORIGIN] as readonly Value[];
      if (kind === "peer") dropped.add(id);
      else if (kind === "parent") parents.push({ id, command: command as number });
    }
  }
  for (let before = -1; before !== dropped.size; ) {
    before = dropped.size;
    for (const { id, command } of parents) if (dropped.has(executionOf.get(command) ?? "")) dropped.add(id);
  }
  return dropped;
}

function withoutSentAttempts(fields: readonly Value[]): Value[] {
  const attempts = fields[COMMAND_ATTEMPTS] as readonly (readonly [peer: string, number: number, state: string])[];
  const failed = fields[COMMAND_FAILED_PEERS] as readonly Value[];
  const lost = attempts.filter(([, , state]) => state !== "queued").map(([peer]) => [peer, REASON]);
  return fields
    .with(COMMAND_ATTEMPTS, attempts.filter(([, , state]) => state === "queued"))
    .with(COMMAND_FAILED_PEERS, [...failed, ...lost]);
}

function withoutUnusedPrograms(rows: readonly Encoded[]): Encoded[] {
  const programs = new Map(rows.filter(([key]) => key.startsWith(ROW.program)).map(([key, bytes]) => [key.slice(ROW.program.length), bytes]));
  const used = new Set<string>();
  const use = (hash: string): void => {
    const bytes = programs.get(hash);
    if (used.has(hash) || bytes === undefined) return;
    used.add(hash);
    const { children } = RowReader.valueOf(ROW.program + hash, bytes) as { children: readonly string[] };
    for (const child of children) use(child);
  };
  for (const [key, bytes] of rows) if (key.startsWith(ROW.execution)) use(fieldsOf(key, bytes)[EXECUTION_PROGRAM] as string);
  return rows.filter(([key]) => !key.startsWith(ROW.program) || used.has(key.slice(ROW.program.length)));
}

function fieldsOf(part: string, bytes: Uint8Array): Value[] {
  const value = RowReader.valueOf(part, bytes);
  if (!Array.isArray(value)) throw new RuntimeError("SNAPSHOT_INVALID", { part, reason: "not a list" });
  return value as Value[];
}
