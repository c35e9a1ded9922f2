import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "@holdfast/core";
import { Dice } from "../choice/dice.ts";
import { quietPlan } from "../plan/plan.ts";
import { ByteStream, type StreamEnd } from "./byte-stream.ts";
import { EventQueue } from "./event-queue.ts";
import { LinkEnd, type LinkPorts } from "./link-end.ts";
import type { Process } from "./process.ts";
import { Ways } from "./ways.ts";

const SECOND = 1e9;

function portsFor(seed: number): LinkPorts {
  const plan = { ...quietPlan(seed), cuts: 0.3, socketBytes: 700 };
  const dice = new Dice({ seed: `stream ${seed}` }, "network");
  return { queue: new EventQueue(plan.seed), dice, plan, ways: new Ways(dice, plan), reached: () => {}, bufferBytesMax: () => Infinity };
}

test("a stream: what is read is a prefix of what was written, all of it unless it was reset, and no more is unread than a socket holds (B1, B2)", () => {
  let cutInside = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const ports = portsFor(seed);
    const { queue, dice, ways, plan } = ports;
    const [written, read]: [number[], number[]] = [[], []];
    const ends: StreamEnd[] = [];
    const source = { machine: 0, isAwake: true, handleFlushed: () => {} };
    const sink = { machine: 1, isAwake: true, handleBytes: (bytes: Uint8Array) => void read.push(...bytes), handleEnd: (end: StreamEnd) => void ends.push(end) };
    const stream = new ByteStream(ports, source, sink);
    for (let step = 0; step < 60; step++) {
      const bytes = Uint8Array.from({ length: dice.between("length", 1, 300) }, (_, at) => (written.length + at) % 251);
      switch (dice.below("what", 8)) {
        case 0: stream.stall(dice.below("stall", SECOND)); break;
        case 1: ways.block(0, 1); break;
        case 2: ways.unblock(0, 1); stream.pump(); break;
        case 3: sink.isAwake = !sink.isAwake; stream.read(); break;
        case 4: ways.clog(0, 1, 1000); break;
        case 5: ways.unclog(0, 1); stream.pump(); break;
        default: stream.write(bytes); written.push(...bytes);
      }
      queue.runUntil(queue.now + dice.below("time", SECOND / 20));
      assert.ok(written.length - stream.buffered - read.length <= plan.socketBytes, "B2");
    }
    const isReset = dice.chance("reset", 0.5);
    if (isReset) stream.reset();
    else stream.end();
    sink.isAwake = true;
    ways.calm();
    stream.unstall();
    stream.pump();
    queue.runUntil(queue.now + 600 * SECOND);
    assert.deepEqual(ends, [isReset ? "reset" : "closed"]);
    assert.deepEqual(read, isReset ? written.slice(0, read.length) : written, "B1");
    if (read.length < written.length) cutInside++;
  }
  assert.ok(cutInside > 20);
});

/** A process as far as links know it. */
function listener(index: number): { process: Process; heard: EngineEvent[] } {
  const heard: EngineEvent[] = [];
  const process = { machine: { index, process: { alive: true } }, paused: false, nextLink: 1, links: new Map(), receive: (event: EngineEvent) => void heard.push(event) };
  return { process: process as unknown as Process, heard };
}

test("a link: bytes that are no frames close it and blame the peer, an end inside a frame closes it and blames nobody", () => {
  for (const [bytes, blamesPeer] of [[Uint8Array.of(0, 0, 0, 0), true], [Uint8Array.of(0xff, 0, 0, 0), true], [Uint8Array.of(0, 0, 0, 9, 1, 2), false]] as const) {
    const ports = portsFor(1);
    const [here, there] = [listener(0), listener(1)];
    const [near] = LinkEnd.connect(ports, here.process, there.process);
    near.send(Uint8Array.of(0, 0, 0, 1, 7));
    near.send(bytes);
    near.close();
    ports.queue.runUntil(10 * SECOND);
    assert.deepEqual(there.heard.map(({ kind }) => kind), ["frame-received", "link-closed"]);
    assert.equal((there.heard[1] as { blamesPeer: boolean }).blamesPeer, blamesPeer);
    assert.deepEqual(here.heard.map(({ kind }) => kind), ["link-closed"]);
  }
});
