/**
 * A node's stored state of 10 MB, restored into a fresh engine, up to where it can be polled. Compared with `JSON.parse` and
 * `v8.deserialize` of the same values, and with the store's part of a start: reading and checking the same rows.
 *
 * That no code of the user's runs is asserted, not measured: each function of each flow throws while a restore goes on.
 */
import { strict as assert } from "node:assert";
import { deserialize, serialize } from "node:v8";
import { decodeValue, type Encoded, type Value } from "@holdfast/core";
import { openSqliteStore } from "@holdfast/host";
import { type BenchOptions, type Figure, figure, interleave, median, rounds, scratchDirectory } from "../harness.ts";
import { makeStoredState, STATE_BYTES, userCode } from "./stored-state.ts";

const TARGET_MS = 50;
/** Each takes less than a second, and garbage of the others falls on it: more rounds than usual. */
const ROUNDS_FACTOR = 3;

export async function measureRestore(options: BenchOptions): Promise<Figure[]> {
  const state = makeStoredState();
  options.note(`${state.rows.length} rows, ${(state.bytes / 1e6).toFixed(2)} MB of keys and values`);
  assert.ok(Math.abs(state.bytes / STATE_BYTES - 1) < 0.02, `the state is ${state.bytes} bytes large`);
  const values = state.rows.map(([key, bytes]) => [key, readable(decodeValue(bytes))]);
  const [json, serialized] = [JSON.stringify(values), serialize(values)];
  using scratch = scratchDirectory();
  await fill(scratch.path, state.rows);
  assert.ok(userCode.calls > 0, "the flows' functions count their calls");
  userCode.allowed = false;
  const subjects = {
    restore: () => elapsedMs(() => state.restore()),
    json: () => elapsedMs(() => JSON.parse(json)),
    v8: () => elapsedMs(() => deserialize(serialized)),
    store: () => load(scratch.path),
  };
  const first = { restore: subjects.restore(), json: subjects.json() };
  const samples = await interleave(ROUNDS_FACTOR * rounds(options), subjects);
  userCode.allowed = true;
  const [restore, parse] = [median(samples.restore), median(samples.json)];
  const target = `≤ ${TARGET_MS} ms`;
  const common = { value: restore, unit: "ms" };
  return [
    figure({ ...common, figure: "10 MB of state restored", comparison: "JSON.parse of the same values", other: parse, target, met: restore <= TARGET_MS }),
    figure({ ...common, figure: "the same", comparison: "v8.deserialize of the same values", other: median(samples.v8), target: "none", met: true }),
    figure({ ...common, figure: "the same, first in its process", value: first.restore, comparison: "the first JSON.parse", other: first.json, target: "none", met: true }),
    figure({ ...common, figure: "the same rows loaded from SQLite", value: median(samples.store), comparison: "restoring them", other: restore, target: "none", met: true }),
  ];
}

function elapsedMs(work: () => unknown): number {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
}

/** What JSON can hold: values that are encoded within a row as themselves, other bytes as text. */
function readable(value: Value): unknown {
  if (value instanceof Uint8Array) {
    try {
      return readable(decodeValue(value));
    } catch {
      return Buffer.from(value).toString("base64");
    }
  }
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, readable(part as Value)]));
}

async function fill(directory: string, rows: readonly Encoded[]): Promise<void> {
  const store = await openSqliteStore(directory);
  await store.claim("bench");
  await store.commit({ position: 1, puts: rows, deletes: [] });
  await store.close();
}

async function load(directory: string): Promise<number> {
  const store = await openSqliteStore(directory);
  await store.claim("bench");
  const startedAt = performance.now();
  await store.load();
  const ms = performance.now() - startedAt;
  await store.close();
  return ms;
}
