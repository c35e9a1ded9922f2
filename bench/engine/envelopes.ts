/**
 * Envelopes through one engine in memory: decode, admit, deduplicate, run one pure operation, encode the reply. Frames
 * are made beforehand; each burst acknowledges the replies to the one before, as a peer's next frames would.
 * Leaves out sockets, store and the caller's side. One thread, so a figure per core.
 */
import { strict as assert } from "node:assert";
import { compileFlows, Driver, encodeValue, Engine, engineOptions, type Lineage, peerIdFromEd25519, type PeerId } from "@holdfast/core";
import type { RequestBody } from "../../packages/core/src/wire/message.ts";
import { decodeMessage, encodeEnvelopeFrame, encodeMessageFrame, sealBody } from "../../packages/core/src/wire/message-codec.ts";
import { type BenchOptions, type Figure, figure, interleave, median, rounds } from "../harness.ts";
import { doubled } from "./flows.ts";

/** Envelopes that one read of a busy socket brings: about 8 KiB. */
const BURST = 64;
const TARGET_PER_S = 100_000;
const LINK = 1;
const [us, peer] = [1, 2].map((seed) => peerIdFromEd25519(new Uint8Array(32).fill(seed))) as [PeerId, PeerId];
const lineage = (digit: string): Lineage => digit.repeat(32) as Lineage;

export async function measureEnvelopes(options: BenchOptions): Promise<Figure[]> {
  const count = (options.quick ? 500 : 2000) * BURST;
  const frames = requestFrames(count);
  const { engine, codec } = await interleave(rounds(options), {
    engine: () => perSecond(count, () => throughEngine(frames)),
    codec: () => perSecond(count, () => throughCodec(frames)),
  });
  return [figure({
    figure: "envelopes through one engine, per core", value: median(engine), unit: "/s",
    comparison: "the same envelopes decoded and their replies encoded, nothing else", other: median(codec),
    target: "≥ 100,000/s", met: median(engine) >= TARGET_PER_S,
  })];
}

function perSecond(count: number, work: () => void): number {
  const startedAt = performance.now();
  work();
  return count / ((performance.now() - startedAt) / 1000);
}

/** Bodies of frames: what a link hands to the engine. */
function requestFrames(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => {
    const request: RequestBody = {
      type: "request", sequence: at + 1, request: at + 1, attempt: 1, oneWay: false, chain: null, address: "doubled",
      key: `${lineage("b")}:#${at + 1}.call`, ports: [{ name: "n", payload: encodeValue(at) }],
    };
    const acknowledged = at - (at % BURST);
    return encodeEnvelopeFrame({ remainingNs: 5e9, acknowledged, window: 256, redelivered: false }, sealBody(request)).subarray(4);
  });
}

function throughEngine(frames: readonly Uint8Array[]): void {
  const driver = linkedDriver();
  let replies = 0;
  let now = 1000;
  for (let at = 0; at < frames.length; at += BURST) {
    for (let next = at; next < at + BURST; next++) driver.handle({ kind: "frame-received", link: LINK, body: frames[next]! });
    while (driver.poll((now += 500_000), 0));
    for (let effect = driver.pollEffect(); effect !== undefined; effect = driver.pollEffect()) if (effect.kind === "send-frame") replies++;
  }
  assert.ok(replies >= frames.length, "every envelope was answered");
  assert.equal(driver.engine.state.counters.get("executions-completed"), frames.length);
}

/** An engine with one link over which hellos were exchanged. */
function linkedDriver(): Driver {
  const engine = new Engine({
    identity: { peer: us, lineage: lineage("a"), incarnation: 1 }, definitions: compileFlows([doubled]),
    options: engineOptions(), policy: { block: [], allow: null }, groups: new Map(), seed: "bench",
  });
  engine.begin(1, 0);
  const driver = new Driver(engine, { position: 0, durable: false });
  driver.handle({ kind: "link-opened", link: LINK, peer, dialled: false });
  const hello = encodeMessageFrame({
    kind: "hello", protocol: 1, lineage: lineage("b"), incarnation: 1, epoch: 1, lowestUnacknowledged: 1, nextSequence: 1,
    peerLineage: "", peerEpoch: 0, mark: 0, window: 256, addresses: [],
  });
  driver.handle({ kind: "frame-received", link: LINK, body: hello.subarray(4) });
  driver.poll(2, 0);
  while (driver.pollEffect() !== undefined);
  return driver;
}

function throughCodec(frames: readonly Uint8Array[]): void {
  let bytes = 0;
  for (const frame of frames) {
    const message = decodeMessage(frame);
    assert.ok(message.kind === "envelope" && message.body.type === "request");
    const { sequence, request, attempt, ports } = message.body;
    const sealed = sealBody({ type: "reply", sequence, request, attempt, outcome: "ok", ports, reports: [] });
    bytes += encodeEnvelopeFrame({ remainingNs: "never", acknowledged: sequence, window: 256, redelivered: false }, sealed).length;
  }
  assert.ok(bytes > 0);
}
