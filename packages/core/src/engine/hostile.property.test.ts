import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host, pure } from "../flow/functions.ts";
import { peerIdFromEd25519 } from "../base/peer-id.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { ExecutionId, Lineage, PeerId } from "../base/ids.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import { encodeEnvelopeFrame, encodeMessageFrame, sealBody } from "../wire/message-codec.ts";
import { decodeMessage } from "../wire/message-codec.ts";
import type { Message, RequestBody, SealedBody } from "../wire/message.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const SEEDS = Number(process.env["HOLDFAST_SEEDS"] ?? 200);

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const wait = host("wait", { version: 1 }, (n: number) => n);
const tally = flow("tally", { input: { key: v.pipe(v.string(), v.maxLength(8)) }, output: { count: any<number>() }, deadlineMs: "never" }, (b, { key }) => ({ count: b.update("tallies", key, countUp) }));
const held = flow("held", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(wait, n) }));
const relay = flow("relay", { input: { key: any<string>() }, output: { count: any<number>() }, deadlineMs: 5000 }, (b, { key }) => ({ count: b.call(tally, b.peer("bob"), { key }).count }));
const ask = flow("ask", { input: { key: any<string>() }, output: { count: any<number>() }, deadlineMs: 5000 }, (b, { key }) => ({ count: b.call(tally, b.peer("ann"), { key }).count }));
const spread = flow("spread", { input: { list: any<string[]>() }, output: { out: any<unknown>() }, deadlineMs: 5000 }, (b, { list }) => ({ out: b.map(list, tally, { to: b.select("all") }) }));
const flows = [tally, held, relay, ask, spread];

const eve: PeerId = peerIdFromEd25519(new Uint8Array(32).fill(66));

/** Somebody who speaks the protocol, as badly as the test likes. */
class Eve {
  readonly ann: TestNode;
  readonly world: TestWorld;
  link = 5000;
  sequence = 1;
  readonly heard: Message[] = [];
  closed = 0;

  constructor(world: TestWorld, ann: TestNode) {
    this.world = world;
    this.ann = ann;
    const perform = ann.perform.bind(ann);
    ann.perform = (effect) => {
      if (effect.kind === "send-frame" && effect.link >= 5000) return void this.heard.push(decodeMessage(effect.frame.slice(4)));
      if (effect.kind === "close-link" && effect.link >= 5000) return void this.closed++;
      if (effect.kind === "dial" && effect.peer === eve) return;
      perform(effect);
    };
  }

  connect(lineage = "e".repeat(32), given: { epoch?: number; next?: number } = {}): void {
    this.link++;
    this.ann.take({ kind: "link-opened", link: this.link, peer: eve, dialled: false });
    this.say({
      kind: "hello", protocol: 1, lineage: lineage as Lineage, incarnation: 1, epoch: given.epoch ?? 1, lowestUnacknowledged: Math.min(this.sequence, given.next ?? Infinity), nextSequence: given.next ?? this.sequence,
      peerLineage: "", peerEpoch: 0, mark: 0, window: 256, addresses: [],
    });
    this.world.settle();
  }

  say(message: Exclude<Message, { kind: "envelope" }>): void {
    this.raw(encodeMessageFrame(message).slice(4));
  }

  raw(body: Uint8Array): void {
    this.ann.take({ kind: "frame-received", link: this.link, body });
  }

  send(body: SealedBody, header: { acknowledged?: number; remainingNs?: number | "never" } = {}): void {
    this.raw(encodeEnvelopeFrame({ remainingNs: "never", acknowledged: 0, window: 256, redelivered: false, ...header }, sealBody(body)).slice(4));
  }

  request(address: string, ports: Record<string, Value>, more: Partial<RequestBody> = {}): void {
    const sequence = this.sequence++;
    this.send({
      type: "request", sequence, request: sequence, attempt: 1, oneWay: false, key: `e${sequence}`, chain: null, address,
      ports: Object.entries(ports).map(([name, value]) => ({ name, payload: encodeValue(value) })), ...more,
    });
    this.world.settle();
  }

  /** The last reply that we were given: "ok", or its failure. */
  get lastReply(): string | undefined {
    const replies = this.heard.flatMap((message) => (message.kind === "envelope" && message.body.type === "reply" ? [message.body] : []));
    const reply = replies.at(-1);
    return reply === undefined ? undefined : reply.outcome;
  }
}

function worldWithEve(): { world: TestWorld; ann: TestNode; bob: TestNode; eve: Eve } {
  const world = new TestWorld(["ann", "bob"], flows, { all: ["bob"] });
  const [ann, bob] = [world.node("ann"), world.node("bob")];
  const stranger = new Eve(world, ann);
  world.settle();
  return { world, ann, bob, eve: stranger };
}

/** Whatever the stranger did: nobody else noticed. */
function assertOthersWell(world: TestWorld, ann: TestNode, bob: TestNode, key: string): void {
  const link = ann.state.peer(bob.id).link;
  assert.equal(link?.sendReady, true, "the other link is up");
  bob.invoke("ask", { key }, `ask ${key}`);
  ann.invoke("relay", { key }, `relay ${key}`);
  world.settle();
  assert.equal(bob.outcomes.get(`ask ${key}` as ExecutionId)?.ok, true);
  assert.equal(ann.outcomes.get(`relay ${key}` as ExecutionId)?.ok, true);
  assert.equal(ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0, 0);
}

test("hostile: requests that do not fit are answered, and never run", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  const cases: [string, Record<string, Value>, string][] = [
    ["nope", { key: "k" }, "refused"],
    ["tally", {}, "failed"],
    ["tally", { key: 5 }, "failed"],
    ["tally", { key: "far too long" }, "failed"],
    ["tally", { key: "k", more: 1 }, "failed"],
    ["tally", { wrong: "k" }, "failed"],
    ["spread:map-tally", { key: "k", "to:target": { peer: "bob" } }, "refused"],
    ["tally", { key: "k" }, "ok"],
  ];
  for (const [address, ports, expected] of cases) {
    eve.request(address, ports);
    assert.equal(eve.lastReply, expected, `${address} ${JSON.stringify(ports)}`);
  }
  const bad = eve.sequence++;
  eve.send({ type: "request", sequence: bad, request: bad, attempt: 1, oneWay: false, key: "k", chain: null, address: "tally", ports: [{ name: "key", payload: Uint8Array.of(0xff, 0x00) }] });
  world.settle();
  assert.equal(eve.lastReply, "failed");
  const late = eve.sequence++;
  eve.send({ type: "request", sequence: late, request: late, attempt: 1, oneWay: false, key: "k", chain: null, address: "tally", ports: [{ name: "key", payload: encodeValue("late") }] }, { remainingNs: 1 });
  world.settle();
  assert.equal(eve.lastReply, "failed");
  assert.deepEqual([...ann.state.cells.table("tallies").entries()], [["k", 1]]);
  assert.equal(eve.closed, 0, "its link stays: these are errors of an application");
  assert.ok(ann.state.peer(bob.id).counts.refusedEnvelopes === 0);
  assert.equal([...ann.state.peers.values()].find((peer) => peer.id !== bob.id)?.counts.refusedEnvelopes, 2);
  assertOthersWell(world, ann, bob, "z");
});

test("hostile: a map's inner program cannot be run by its hash", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  for (const [hash, program] of ann.state.definitions.programs) {
    if (program.inputs.some(({ name }) => name.includes(":"))) eve.request(hash, { key: "k", "to:target": { peer: "bob" } });
  }
  assert.equal(eve.lastReply, "refused");
  assert.equal(bob.state.cells.table("tallies").size, 0);
  assertOthersWell(world, ann, bob, "z");
});

test("hostile: a key that leaves no room for a further call fails that execution alone", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  eve.request("relay", { key: "k" }, { key: "x".repeat(4096) });
  world.settle();
  assert.equal(eve.lastReply, "failed");
  assertOthersWell(world, ann, bob, "z");
});

test("hostile: duplicates, gaps and replays change nothing; acknowledging what was never sent closes the link", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  eve.request("tally", { key: "a" });
  const again = (sequence: number, key: string): void => {
    eve.send({ type: "request", sequence, request: sequence, attempt: 1, oneWay: false, key: "k", chain: null, address: "tally", ports: [{ name: "key", payload: encodeValue(key) }] });
    world.settle();
  };
  again(1, "b");
  again(7, "c");
  again(Number.MAX_SAFE_INTEGER, "d");
  assert.deepEqual([...ann.state.cells.table("tallies").entries()], [["a", 1]]);
  assert.equal(eve.closed, 0);
  eve.say({ kind: "acknowledge", acknowledged: 1_000_000, window: 256, gap: false });
  world.settle();
  assert.equal(eve.closed, 1);
  assertOthersWell(world, ann, bob, "z");
});

test("hostile: replies and cancels of what was never asked change nothing", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  bob.holdHost = true;
  ann.invoke("relay", { key: "r" }, "r");
  for (let request = 1; request < 60; request++) {
    for (const type of ["reply", "cancel"] as const) {
      const position = { sequence: eve.sequence++, request, attempt: 1 };
      eve.send(type === "cancel" ? { type, ...position } : { type, ...position, outcome: "ok", ports: [{ name: "count", payload: encodeValue(666) }], reports: [] });
    }
  }
  world.settle();
  const outcome = ann.outcomes.get("r" as ExecutionId);
  assert.deepEqual(outcome, { ok: true, value: { count: 1 } });
  assertOthersWell(world, ann, bob, "z");
});

test("hostile: asking for everything again, thousands of times, costs one sending a turn", () => {
  const { ann, eve } = worldWithEve();
  eve.connect();
  for (let n = 0; n < 20; n++) eve.request("tally", { key: `k${n}` });
  eve.heard.length = 0;
  for (let n = 0; n < 3000; n++) eve.say({ kind: "acknowledge", acknowledged: 0, window: 256, gap: true });
  ann.step();
  const replies = eve.heard.filter((message) => message.kind === "envelope").length;
  assert.ok(replies <= 20, `${replies} envelopes`);
});

test("hostile: one who asks and never takes a reply is asked nothing more of our memory", () => {
  const { world, ann, bob, eve } = worldWithEve();
  eve.connect();
  for (let n = 0; n < 31_000; n++) {
    const sequence = eve.sequence++;
    eve.send({ type: "request", sequence, request: sequence, attempt: 1, oneWay: false, key: "k", chain: null, address: "tally", ports: [{ name: "key", payload: encodeValue("k") }] });
  }
  world.settle();
  const session = [...ann.state.peers.values()].find((peer) => peer.id !== bob.id)?.session;
  assert.ok((session?.outbox.length ?? 0) <= 30_001, `${session?.outbox.length} replies kept`);
  assertOthersWell(world, ann, bob, "z");
});

test(`hostile: random and mutated frames close that link and no other, whatever they are (${SEEDS} seeds)`, () => {
  let closed = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    let state = (seed * 48271) % 2147483647;
    const below = (bound: number): number => (state = (state * 48271) % 2147483647) % bound;
    const { world, ann, bob, eve } = worldWithEve();
    try {
      eve.connect();
      for (let frame = 0; frame < 40; frame++) {
        if (ann.state.links.size < 2) {
          eve.sequence = 1 + ([...ann.state.peers.values()].find((peer) => peer.id !== bob.id)?.session.mark ?? 0);
          eve.connect(undefined, below(4) === 0 ? { epoch: 1 + below(3), next: below(10) + 1 } : {});
        }
        const sequence = eve.sequence + below(3);
        const valid = [
          () => encodeMessageFrame({ kind: "heartbeat", beat: below(100) + 1, acknowledged: below(4), window: below(257), sentAtUs: below(1e6), intervalUs: below(2e6) }),
          () => encodeMessageFrame({ kind: "heartbeat-echo", beat: below(10) + 1 }),
          () => encodeMessageFrame({ kind: "acknowledge", acknowledged: below(6), window: below(257), gap: below(2) === 0 }),
          () => encodeMessageFrame({ kind: "backoff-notice", minBackoffNs: below(2 ** 31) * 1000 }),
          () => encodeMessageFrame({ kind: "goodbye", code: "x" }),
          () => encodeEnvelopeFrame({ remainingNs: below(2) === 0 ? "never" : 1 + below(10 ** 9), acknowledged: below(3), window: below(257), redelivered: below(2) === 0 },
            sealBody({ type: "request", sequence, request: 1 + below(5), attempt: 1 + below(2), oneWay: below(2) === 0, key: "k", chain: null, address: ["tally", "held", "relay"][below(3)] as string, ports: [{ name: ["key", "n"][below(2)] as string, payload: encodeValue("k") }] })),
          () => encodeEnvelopeFrame({ remainingNs: "never", acknowledged: below(3), window: 10, redelivered: false }, sealBody({ type: "cancel", sequence, request: 1 + below(5), attempt: 1 })),
          () => encodeEnvelopeFrame({ remainingNs: "never", acknowledged: below(3), window: 10, redelivered: false },
            sealBody({ type: "reply", sequence, request: 1 + below(5), attempt: 1, outcome: "ok", ports: [], reports: [] })),
        ];
        const body = (valid[below(valid.length)] as () => Uint8Array)().slice(4);
        switch (below(4)) {
          case 0: for (let n = 0; n < body.length; n++) body[n] = below(256); break;
          case 1: for (let n = below(4); n >= 0; n--) body[below(body.length)] = below(256); break;
          default: break;
        }
        eve.raw(below(8) === 0 ? body.subarray(0, below(body.length) + 1) : body);
        if (below(3) === 0) world.settle();
        eve.sequence = 1 + ([...ann.state.peers.values()].find((peer) => peer.id !== bob.id)?.session.mark ?? 0);
      }
      world.settle();
      assertOthersWell(world, ann, bob, "z");
      ann.restart(); // and what is stored can be restored
      world.run(100);
      assert.equal(ann.state.peer(bob.id).link?.sendReady, true);
      closed += eve.closed;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(closed > SEEDS, `${closed} links closed`);
});

test("hostile: a failure of foreign make is read as one", () => {
  const { world, ann, bob } = worldWithEve();
  const perform = bob.perform.bind(bob);
  bob.perform = (effect) => {
    if (effect.kind !== "send-frame") return perform(effect);
    const message = decodeMessage(effect.frame.slice(4));
    if (message.kind !== "envelope" || message.body.type !== "reply") return perform(effect);
    const body: SealedBody = { ...message.body, outcome: "failed", ports: [{ name: "failure", payload: encodeValue([1, 2]) }] };
    perform({ ...effect, frame: encodeEnvelopeFrame(message.header, sealBody(body)) });
  };
  ann.invoke("relay", { key: "k" }, "r");
  world.settle();
  const outcome = ann.outcomes.get("r" as ExecutionId) as { failure: Failure };
  assert.equal(outcome.failure.code, "FAILURE_MALFORMED");
});
