import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { metrics } from "@opentelemetry/api";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { Histogram } from "@opentelemetry/sdk-metrics";
import { openPeers } from "./mod.ts";
import { observePeers } from "./opentelemetry.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Collects when it is asked, and at no other time. */
class AskedReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: unknown;
}

function telemetry(t: TestContext) {
  const reader = new AskedReader();
  const provider = new MeterProvider({ readers: [reader] });
  t.after(() => provider.shutdown());
  /** By the names of the instruments. */
  const read = async (): Promise<Record<string, { readonly unit: string; readonly points: readonly Point[] }>> => {
    const { resourceMetrics, errors } = await reader.collect();
    assert.deepEqual(errors, []);
    const all = resourceMetrics.scopeMetrics.flatMap(({ metrics: instruments }) => instruments);
    return Object.fromEntries(all.map(({ descriptor, dataPoints }) => [descriptor.name, { unit: descriptor.unit, points: dataPoints as readonly Point[] }]));
  };
  return { provider, meter: provider.getMeter("test"), read };
}

test("opentelemetry: attempts with what they came to, under the conventions' names", async (t) => {
  const { meter, read } = telemetry(t);
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  using _ = observePeers(peers, { meter });
  const call = peers.run("https://api.example.com", (signal) => clock.sleep(30, signal), { site: "GET /v1/items/:id" });
  await clock.advance(30);
  await call;
  await peers.run("https://api.example.com", () => Promise.reject(Object.assign(new Error("x"), { code: "ECONNREFUSED" })), { site: "GET /v1/items/:id" }).catch(() => {});
  await peers.run("db-1", () => 1, { site: "report" });
  const { unit, points } = (await read())["holdfast.peer.attempt.duration"] ?? assert.fail("there is no such instrument");
  assert.equal(unit, "s");
  const shared = { "holdfast.peer": "https://api.example.com", "server.address": "api.example.com", "server.port": 443, "holdfast.site": "GET /v1/items/:id", "http.request.method": "GET" };
  assert.deepEqual(points.map(({ attributes }) => attributes), [
    { ...shared, "holdfast.outcome": "works" },
    { ...shared, "holdfast.outcome": "refused", "error.type": "refused" },
    { "holdfast.peer": "db-1", "holdfast.site": "report", "holdfast.outcome": "works" },
  ]);
  const { count, sum, buckets } = (points as readonly [Point])[0].value as Histogram;
  assert.deepEqual([count, sum, buckets.boundaries[0]], [1, 0.03, 0.005]);
});

test("opentelemetry: refusals, transitions, and how the peers are now", async (t) => {
  const { meter, read } = telemetry(t);
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  using _ = observePeers(peers, { meter });
  for (let call = 0; call < 7; call++) await peers.run("a", () => Promise.reject(new Error("x"))).catch(() => {});
  await peers.run("b", () => 1, { site: "s" });
  const seen = await read();
  const of = (name: string) => seen[name]?.points.map(({ attributes, value }) => [attributes, value]);
  assert.deepEqual(of("holdfast.peers"), [[{}, 2]]);
  assert.deepEqual(of("holdfast.peer.refusals"), [[{ "holdfast.peer": "a", "error.type": "PEER_COOLING_DOWN" }, 2]]);
  assert.deepEqual(of("holdfast.peer.transitions"), [[{ "holdfast.peer": "a", "holdfast.transition": "down" }, 1]]);
  assert.deepEqual(of("holdfast.peer.down"), [[{ "holdfast.peer": "a" }, 1], [{ "holdfast.peer": "b" }, 0]]);
  assert.equal(seen["holdfast.peer.cooldown"]?.points[0]?.value, peers.explain("a").cooldownMs / 1000);
  assert.equal(seen["holdfast.peer.retry_tokens"]?.points[1]?.value, peers.explain("b").retryTokens);
  assert.deepEqual(of("holdfast.peer.deadline"), [[{ "holdfast.peer": "b", "holdfast.site": "s" }, peers.explain("b").deadlineMs / 1000]]);
});

test("opentelemetry: attributes are bounded", async (t) => {
  const { meter, read } = telemetry(t);
  const peers = openPeers();
  using _ = observePeers(peers, { meter, peersMax: 4, sitesMax: 1 });
  for (let peer = 0; peer < 20; peer++) for (const site of ["x", "y"]) await peers.run(`p${peer}`, () => 1, { site });
  await peers.run("z", () => Promise.reject(new Error("x"))).catch(() => {});
  const seen = await read();
  const names = (name: string) => seen[name]?.points.map(({ attributes }) => [attributes["holdfast.peer"], attributes["holdfast.site"]].join(" "));
  assert.deepEqual(names("holdfast.peer.attempt.duration"), ["p0 x", "p0 other", "p1 x", "p1 other", "p2 x", "p2 other", "other other", "z "]);
  assert.deepEqual(names("holdfast.peer.down")?.map((name) => name.trim()), ["p0", "p1", "p2", "z"]);
  assert.deepEqual(names("holdfast.peer.deadline"), ["p0 x", "p1 x", "p2 x"]);
});

test("opentelemetry: nothing is measured after disposal; peers that are closed are not asked", async (t) => {
  const { meter, read } = telemetry(t);
  const peers = openPeers();
  const observed = observePeers(peers, { meter });
  await peers.run("a", () => 1);
  peers.close();
  assert.deepEqual((await read())["holdfast.peer.down"]?.points ?? [], []);
  observed[Symbol.dispose]();
  const other = openPeers({ block: ["b"] });
  const elsewhere = telemetry(t);
  observePeers(other, { meter: elsewhere.meter })[Symbol.dispose]();
  await other.run("c", () => 1);
  await assert.rejects(other.run("b", () => 1));
  other.block("c");
  for (const [name, { points }] of Object.entries(await elsewhere.read())) assert.deepEqual(points, [], name);
});

test("opentelemetry: without a meter, the global one; options are checked by name", async (t) => {
  const { provider, read } = telemetry(t);
  metrics.setGlobalMeterProvider(provider);
  t.after(() => metrics.disable());
  const peers = openPeers();
  using _ = observePeers(peers);
  await peers.run("a", () => 1);
  assert.equal((await read())["holdfast.peer.attempt.duration"]?.points.length, 1);
  assert.throws(() => observePeers(peers, { meter: {} as never }), { code: "OPTION_INVALID" });
  assert.throws(() => observePeers({} as never), TypeError);
});
