import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "@holdfast/core";
import { ExecutionFailure } from "../execution-failure.ts";
import { ControlClient } from "./control-client.ts";
import { findControlPath } from "./control-path.ts";
import { encodeControlLine, parseControlLine } from "./control-protocol.ts";
import { serveControl } from "./control-server.ts";
import { LineReader } from "./line-reader.ts";
import type { Value } from "@holdfast/core";
import type { Node } from "../node-api.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-control-"));
after(() => rmSync(base, { recursive: true }));
let directories = 0;
const newDirectory = (parent = base) => {
  const path = join(parent, String(directories++));
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
};

const snapshot = Uint8Array.from({ length: 9_000_000 }, (_, at) => at * 7);
const cells = Array.from({ length: 25_000 }, (_, at): [string, Value] => [String(at).padStart(6, "0"), [BigInt(at), new Uint8Array([at])]]);
const failure = { code: "HOST_THREW", message: "no", at: ["greet/hello"], details: null };

/** As much of a node as the control socket needs. */
function fakeNode(): Node {
  return {
    status: () => ({ name: "ann", pid: process.pid }),
    start: async (flow: string, input: Value, options: object) => {
      if (flow === "none") throw new RuntimeError("NOT_FOUND", { flow });
      return JSON.stringify([flow, String((input as { n: bigint }).n), options]);
    },
    result: (id: string, { signal }: { signal: AbortSignal }) => id === "forever"
      ? new Promise((_, refuse) => signal.addEventListener("abort", () => refuse(new Error("aborted"))))
      : Promise.reject(new ExecutionFailure(id, failure)),
    cells: () => ({
      size: cells.length,
      get: (key: string) => cells.find(([known]) => known === key)?.[1],
      range: ({ after = "", limit = 0 }) => cells.filter(([key]) => key > after).slice(0, limit),
    }),
    execution: () => undefined,
    block: async () => undefined,
    snapshot: async () => snapshot,
  } as unknown as Node;
}

test("control: answers, values and faults arrive as they were sent", async () => {
  const directory = newDirectory();
  await using _server = await serveControl(fakeNode(), directory);
  using client = await ControlClient.open(directory);
  assert.equal((await client.call("status", {})).pid, process.pid);
  assert.equal(await client.call("start", { flow: "f", input: { n: 12n }, id: "x" }), '["f","12",{"id":"x"}]');
  await assert.rejects(client.call("start", { flow: "none", input: null }), { code: "NOT_FOUND", details: { flow: "none" } });
  await assert.rejects(client.call("result", { execution: "e" }), { code: "EXECUTION_FAILED", details: { execution: "e", failure } });
  await assert.rejects(client.call("nonsense" as "status", {}), { code: "CONTROL_MALFORMED" });
  assert.equal(await client.call("execution", { execution: "e" }), null);
  assert.equal(await client.call("block", { peer: "bob" }), null);
  assert.equal(await client.call("cells-get", { cells: "c", key: "none" }), null);
});

test("control: a slow answer does not hold up others, and ends with its client", async () => {
  const directory = newDirectory();
  await using _server = await serveControl(fakeNode(), directory);
  const client = await ControlClient.open(directory);
  const slow = client.call("result", { execution: "forever" });
  await client.call("status", {});
  client.close();
  await assert.rejects(slow, { code: "NODE_UNREACHABLE" });
});

test("control: cells and snapshots larger than a line come in pieces", async () => {
  const directory = newDirectory();
  await using _server = await serveControl(fakeNode(), directory);
  using client = await ControlClient.open(directory);
  const read: unknown[] = [];
  for await (const pair of client.cells("c")) read.push(pair);
  assert.deepEqual(read, cells);
  assert.deepEqual(new Uint8Array(await client.snapshot()), snapshot);
});

test("control: only this user may connect, a dead socket is replaced, a live one is not", async () => {
  const directory = newDirectory();
  writeFileSync(join(directory, "control.sock"), "");
  await using server = await serveControl(fakeNode(), directory);
  assert.equal(statSync(server.path).mode & 0o777, 0o600);
  await assert.rejects(serveControl(fakeNode(), directory), { code: "STORE_BUSY" });
});

test("control: a path too long for a socket is made elsewhere, and found", async () => {
  const directory = newDirectory(join(base, "x".repeat(120)));
  await using server = await serveControl(fakeNode(), directory);
  assert.ok(server.path.length < 104);
  assert.equal(findControlPath(directory), server.path);
  using client = await ControlClient.open(directory);
  assert.equal((await client.call("status", {})).name, "ann");
});

test("control: nobody there is NODE_UNREACHABLE", async () => {
  await assert.rejects(ControlClient.open(newDirectory()), { code: "NODE_UNREACHABLE" });
});

test("control: a line that is no request is answered and hung up on", async () => {
  const directory = newDirectory();
  await using server = await serveControl(fakeNode(), directory);
  for (const line of ["{", "[]", '{"id":1,"method":"status"}', '{"id":1,"method":"status","params":{"$odd":1}}']) {
    const socket = connect(server.path);
    let heard = "";
    socket.on("data", (chunk) => (heard += String(chunk)));
    socket.write(`${line}\n`);
    await new Promise((done) => socket.once("close", done));
    assert.match(heard, /^\{"id":null,"error":\{"code":"CONTROL_MALFORMED"/);
  }
});

test("control: however the stream is cut, the lines are the same, and a long one is refused", () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: "grapheme" })), fc.integer({ min: 1, max: 7 }), (texts, size) => {
    const lines = texts.map((text) => text.replaceAll("\n", " "));
    const stream = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    const reader = new LineReader(1000);
    const read: string[] = [];
    for (let at = 0; at < stream.length; at += size) read.push(...reader.push(stream.subarray(at, at + size)));
    assert.deepEqual(read, lines);
  }));
  assert.throws(() => [...new LineReader(8).push(Buffer.from("123456789"))], { code: "CONTROL_MALFORMED" });
});

test("control: any value survives the line", () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.bigInt(), fc.string(), fc.uint8Array(),
      fc.array(tie("value")), fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("$bigint", "$map", "__proto__")), tie("value"), { noNullPrototype: true })),
  }));
  fc.assert(fc.property(value, (given) => {
    const line = encodeControlLine({ id: 1, result: given });
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseControlLine(line), { id: 1, result: given });
  }));
});
