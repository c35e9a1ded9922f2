import assert from "node:assert/strict";
import { test } from "node:test";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

/** As many as fill half of the hub's ingress in the longest stall: each beats, and asks until it takes the hub for dead. */
const PEERS = 16;
const STALLS_MS = [500, 1500, 5000, 20_000, 120_000];

/** A node that is linked to others, which know only it. */
function hubOf(): { world: TestWorld; hub: TestNode; peers: TestNode[] } {
  const names = Array.from({ length: PEERS }, (_, at) => `peer ${at}`);
  const world = new TestWorld(["hub", ...names], [], {}, {}, "hub");
  world.run(20_000);
  return { world, hub: world.node("hub"), peers: names.map((name) => world.node(name)) };
}

/** What the node announced of peers since it was last asked. */
function verdicts(node: TestNode): string[] {
  const { events } = node;
  node.events = [];
  return events.filter(({ event }) => event.startsWith("site-")).map(({ event, peer }) => `${event} ${peer}`);
}

/** The hub stands still; what arrives waits for it. */
function stall({ world, hub }: ReturnType<typeof hubOf>, ms: number, meanwhile: () => void = () => {}): void {
  hub.paused = true;
  world.run(ms / 2);
  meanwhile();
  world.run(ms / 2);
  hub.paused = false;
}

test("stalls: a node with many peers stands still for 0.5 to 120 s, or sleeps, and nobody is suspected", () => {
  const given = hubOf();
  const { world, hub } = given;
  verdicts(hub);
  for (const ms of STALLS_MS) {
    stall(given, ms + 37);
    world.run(7000);
    world.now += (ms + 37) * NS_PER_MS; // all of them were suspended, and what was due was not sent
    world.run(7000);
    assert.deepEqual(verdicts(hub), [], `${ms} ms`);
  }
  // The shortest are over before anything was due.
  assert.equal(hub.state.counters.get("pauses"), 2 * (STALLS_MS.length - 1));
});

test("stalls: a peer that dies in one is found no later than in the usual time after it and one beat", () => {
  for (const ms of [1500, 20_000, 120_000]) {
    const given = hubOf();
    const { world, hub, peers } = given;
    const dead = peers[7] as TestNode;
    const { watch } = hub.state.tracker;
    const site = hub.state.peer(dead.id).linkSite;
    const usualNs = (watch.nextCrossing(site)?.at ?? assert.fail()) - watch.lastSeenAt(site);
    verdicts(hub);
    stall(given, ms, () => world.vanish(dead));
    world.run(Math.ceil((usualNs + NS_PER_S) / NS_PER_MS));
    const [first, ...rest] = verdicts(hub);
    assert.equal(first, `site-suspect ${dead.id}`, `${ms} ms`);
    assert.ok(rest.every((verdict) => verdict === `site-down ${dead.id}`), `${rest}`);
  }
});
