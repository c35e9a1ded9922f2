import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { BrokerMetrics, CONNECTION_REASONS } from "./broker-metrics.ts";
import { Handoffs } from "./handoffs.ts";
import { NACK_REASONS, PROTOCOL } from "../protocol/messages.ts";
import type { TestContext } from "node:test";
import type { OfferHead } from "../channel/handoff-channel.ts";
import type { Hello } from "../protocol/messages.ts";
import type { ConnectionReason } from "./broker-metrics.ts";
import type { BackendExit, RunningBackend } from "./running-backend.ts";
import type { Visitor } from "./visitor.ts";

const HELLO: Hello = { kind: "hello", protocol: PROTOCOL, service: "work", version: "1.0.0", exact: false, pid: 1, accepts: ["handoff", "redirect"], route: "direct" };
const ALLOWED = { isAllowed: true, isPressureHigh: false };
const OFFER_MS_MAX = 250;

/** A backend that does nothing by itself. */
function fakeBackend(build: string, given: Partial<RunningBackend> = {}) {
  const offered: OfferHead[] = [];
  const exit = Promise.withResolvers<BackendExit>();
  const fake = {
    offered,
    isChannelBroken: false,
    end: () => exit.resolve({ how: "SIGKILL", output: "" }),
    backend: {
      key: { service: "work", version: "1.0.0", build }, endpoint: "", pid: 1, adopted: false, info: null, draining: false,
      startedAtMs: 0, exited: exit.promise,
      channel: {
        kind: "raw",
        offer(head) {
          if (fake.isChannelBroken) throw new Error("broken");
          offered.push(head);
        },
        close() {},
      },
      onAnswer() {}, onChannelLost() {}, onTold() {}, quiesce() {}, signal() {}, ...given,
    } satisfies RunningBackend as RunningBackend,
  };
  return fake;
}

function makeHandoffs(nowUs: () => number = () => 0) {
  const metrics = new BrokerMetrics(() => ({ backends: {}, connectionsOpen: 0, hellosPending: 0, descriptorsUsedShare: 0, uptimeSeconds: 0, residentMemoryBytes: 0 }));
  const settled = () => [...metrics.text().matchAll(/^holdfast_broker_offers_total\{.*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  return { handoffs: new Handoffs(metrics, nowUs), settled };
}

test("handoffs: of several reasons against it, the first in the order of the specification is told", () => {
  const order = ["client-unsupported", "service-policy-disabled", "fd-pressure-disabled", "adopted-backend", "failed-attempt-rate-limited", "backend-lost"] as const;
  for (let holds = 0; holds < 1 << order.length; holds++) {
    const [unsupported, disabled, pressed, adopted, limited, lost] = order.map((_, index) => (holds & (1 << index)) !== 0);
    const { handoffs } = makeHandoffs();
    const { backend, ...fake } = fakeBackend("1", { adopted: adopted! });
    const broken = fakeBackend("1");
    broken.isChannelBroken = true;
    if (limited) for (let time = 0; time < 8; time++) void handoffs.offer(broken.backend, {} as Visitor, HELLO);
    const hello: Hello = { ...HELLO, accepts: unsupported ? ["redirect"] : ["handoff"] };
    const decided = handoffs.decide({ ...backend, channel: lost ? undefined : backend.channel }, hello, { isAllowed: !disabled, isPressureHigh: pressed! });
    assert.equal(decided, order.find((_, index) => (holds & (1 << index)) !== 0) ?? "none");
    assert.deepEqual(fake.offered, []);
  }
});

/** What happens to the offers: `at` picks one of those made so far, settled or not. */
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("offer"), at: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("ack"), at: fc.nat() }) },
  fc.record({ kind: fc.constantFrom(...NACK_REASONS), at: fc.nat() }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass"), at: fc.constantFrom(1, 100, 249, OFFER_MS_MAX) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("turn"), at: fc.constant(0) }) },
  fc.record({ kind: fc.constantFrom("channel-lost", "exit", "stray"), at: fc.nat(1) }),
  fc.record({ kind: fc.constant("offers-fail"), at: fc.nat(1) }),
);

interface Modelled {
  readonly id: number;
  readonly backend: number;
  readonly madeAtMs: number;
  /** Undefined: it is under way. */
  expected: ConnectionReason | undefined;
  readonly settlements: ConnectionReason[];
}

test("handoffs: H2: a timer that fires before its time does not expire an offer, and a backend's deadline is before ours", async (t: TestContext) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let nowMs = 0;
  const { handoffs, settled } = makeHandoffs(() => nowMs * 1000);
  const { backend, offered } = fakeBackend("1");
  handoffs.watch(backend);
  void handoffs.offer(backend, { rest: new Uint8Array(), socket: {} } as Visitor, HELLO);
  assert.ok(offered[0]!.deadlineUs <= (OFFER_MS_MAX - 50) * 1000);
  nowMs = OFFER_MS_MAX - 30; // The event loop's clock runs ahead of what has passed since the offer.
  t.mock.timers.tick(OFFER_MS_MAX);
  await turn();
  assert.equal(settled(), 0);
  nowMs = OFFER_MS_MAX;
  t.mock.timers.tick(30);
  await turn();
  assert.equal(settled(), 1);
  t.mock.timers.reset();
});

test("handoffs: every offer settles once, by what came first; nothing is written after an ack, and nothing is kept", async (t: TestContext) => {
  await fc.assert(fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    try {
      let nowMs = 0;
      const { handoffs, settled } = makeHandoffs(() => nowMs * 1000);
      const fakes = [fakeBackend("1"), fakeBackend("2")];
      for (const { backend } of fakes) handoffs.watch(backend);
      const offers: Modelled[] = [];
      const failures = [0, 0];
      const settle = (offer: Modelled | undefined, reason: ConnectionReason) => {
        if (offer === undefined || offer.expected !== undefined) return; // H1
        offer.expected = reason;
        if (reason === "none") failures[offer.backend] = 0;
        else if (reason !== "draining") failures[offer.backend] = Math.min(8, failures[offer.backend]! + 1);
      };
      const underWay = (backend: number) => offers.filter((offer) => offer.backend === backend);
      const offer = (at: number, isBroken: boolean) => {
        const { backend, offered } = fakes[at]!;
        fakes[at]!.isChannelBroken = isBroken;
        const settlements: ConnectionReason[] = [];
        void handoffs.offer(backend, { rest: new Uint8Array(), socket: {} } as Visitor, HELLO).then((reason) => settlements.push(reason));
        const made: Modelled = { id: isBroken ? -1 : offered.at(-1)!.id, backend: at, madeAtMs: nowMs, expected: undefined, settlements };
        offers.push(made);
        if (isBroken) settle(made, "permission-denied");
      };
      for (const { kind, at } of events) {
        const chosen = offers[at % Math.max(1, offers.length)];
        const { backend } = fakes[chosen?.backend ?? 0]!;
        switch (kind) {
          case "offer":
            offer(at, false);
            break;
          case "offers-fail":
            for (let time = 0; time < 5; time++) offer(at, true);
            break;
          case "pass":
            nowMs += at;
            t.mock.timers.tick(at); // A deadline has passed; what came before it counts is still to be heard.
            break;
          case "turn":
            await turn();
            for (const made of offers) if (nowMs - made.madeAtMs >= OFFER_MS_MAX) settle(made, "backend-ack-timeout");
            break;
          case "channel-lost":
            fakes[at]!.backend.onChannelLost();
            for (const made of underWay(at)) settle(made, "backend-lost");
            break;
          case "exit": // Is told a little later.
            fakes[at]!.end();
            await Promise.resolve();
            await Promise.resolve();
            for (const made of underWay(at)) settle(made, "backend-lost");
            fakes[at] = fakeBackend(`${at + 1}`);
            handoffs.watch(fakes[at]!.backend);
            break;
          case "stray":
            backend.onAnswer({ id: 1_000_000 + at, accepted: true });
            break;
          case "ack":
            if (chosen !== undefined) backend.onAnswer({ id: chosen.id, accepted: true });
            settle(chosen, "none");
            break;
          default:
            if (chosen !== undefined) backend.onAnswer({ id: chosen.id, accepted: false, reason: kind });
            settle(chosen, kind);
        }
        for (const [index, fake] of fakes.entries()) {
          assert.equal(handoffs.decide(fake.backend, HELLO, ALLOWED), failures[index]! >= 8 ? "failed-attempt-rate-limited" : "none");
        }
      }
      nowMs += OFFER_MS_MAX;
      t.mock.timers.tick(OFFER_MS_MAX);
      await turn();
      for (const made of offers) settle(made, "backend-ack-timeout");
      assert.deepEqual(offers.map(({ settlements }) => settlements), offers.map(({ expected }) => [expected]));
      for (const { expected } of offers) assert.ok(CONNECTION_REASONS.includes(expected!));
      assert.equal(settled(), offers.length);
      // What was settled is forgotten: nothing that comes later counts.
      for (const { id, backend } of offers) fakes[backend]!.backend.onAnswer({ id, accepted: true });
      for (const { backend } of fakes) backend.onChannelLost();
      t.mock.timers.tick(10 * OFFER_MS_MAX);
      await turn();
      assert.equal(settled(), offers.length);
      assert.deepEqual(offers.map(({ settlements }) => settlements.length), offers.map(() => 1));
    } finally {
      t.mock.timers.reset();
    }
  }), { numRuns: 300 });
});
