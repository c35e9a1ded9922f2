import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "@holdfast/core";
import { ExecutionFailure } from "../execution-failure.ts";
import { ControlClient } from "./control-client.ts";
import { encodeControlLine, parseControlLine } from "./control-protocol.ts";
import { ControlServer } from "./control-server.ts";
import { LineReader } from "./line-reader.ts";
import type { AddressInfo, Socket } from "node:net";
import type { Value } from "@holdfast/core";
import type { Node } from "../node-api.ts";

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

/** Connections to a fake node's control server, each with a client's end. */
async function openControl(): Promise<{ dial(): Promise<Socket>; [Symbol.dispose](): void }> {
  const control = new ControlServer(fakeNode());
  const server = createServer((socket) => control.accept(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    async dial() {
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      await once(socket, "connect");
      return socket;
    },
    [Symbol.dispose]() {
      server.close();
      control.close();
    },
  };
}

test("control: answers, values and faults arrive as they were sent", async () => {
  using control = await openControl();
  using client = new ControlClient(await control.dial());
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
  using control = await openControl();
  const client = new ControlClient(await control.dial());
  const slow = client.call("result", { execution: "forever" });
  await client.call("status", {});
  client.close();
  await assert.rejects(slow, { code: "NODE_UNREACHABLE" });
});

test("control: cells and snapshots larger than a line come in pieces", async () => {
  using control = await openControl();
  using client = new ControlClient(await control.dial());
  const read: unknown[] = [];
  for await (const pair of client.cells("c")) read.push(pair);
  assert.deepEqual(read, cells);
  assert.deepEqual(new Uint8Array(await client.snapshot()), snapshot);
});

test("control: a server that closes ends its clients", async () => {
  const control = await openControl();
  using client = new ControlClient(await control.dial());
  await client.call("status", {});
  const slow = client.call("result", { execution: "forever" });
  control[Symbol.dispose]();
  await assert.rejects(slow, { code: "NODE_UNREACHABLE" });
});

test("control: a line that is no request is answered and hung up on", async () => {
  using control = await openControl();
  for (const line of ["{", "[]", '{"id":1,"method":"status"}', '{"id":1,"method":"status","params":{"$odd":1}}']) {
    const socket = await control.dial();
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
