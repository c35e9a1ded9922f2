import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BrokerMetrics, CONNECTION_REASONS, HELLO_RESULTS, OFFER_OUTCOMES, SPAWN_OUTCOMES } from "./broker-metrics.ts";
import type { BrokerGauges } from "./broker-metrics.ts";
import { parseOpenMetrics } from "./testing/open-metrics.ts";
import type { MetricFamily } from "./testing/open-metrics.ts";

const GAUGES: BrokerGauges = {
  backends: { ready: 2, starting: 0 }, connectionsOpen: 3, hellosPending: 1, descriptorsUsedShare: 0.25, uptimeSeconds: 1.5, residentMemoryBytes: 64_000_000,
};

function families(metrics: BrokerMetrics): Map<string, MetricFamily> {
  const parsed = parseOpenMetrics(metrics.text());
  for (const name of parsed.keys()) assert.ok(name.startsWith("holdfast_broker_"), name);
  return new Map([...parsed].map(([name, family]) => [name.slice("holdfast_broker_".length), family]));
}

function values(metrics: BrokerMetrics, name: string): Record<string, number> {
  const samples = families(metrics).get(name)?.samples ?? assert.fail(`${name} is missing`);
  return Object.fromEntries(samples.map(({ suffix, labels, value }) => [[suffix, ...Object.values(labels)].join(" "), value]));
}

test("broker metrics: every family is there from the start, with its type", () => {
  const types = [...families(new BrokerMetrics(() => GAUGES))].map(([name, { type }]) => [name, type]);
  assert.deepEqual(Object.fromEntries(types), {
    connections: "counter", hellos: "counter", hello_duration_seconds: "histogram", handoff_duration_seconds: "histogram",
    offers: "counter", spawn_attempts: "counter", redirects: "counter", start_budget_spent: "counter", backend_restarts: "counter",
    connections_dropped: "counter", connections_refused_uid: "counter", backends: "gauge", connections_open: "gauge", hellos_pending: "gauge",
    descriptors_used_ratio: "gauge", uptime_seconds: "gauge", resident_memory_bytes: "gauge",
  });
});

test("broker metrics: the reader of these tests is strict", () => {
  const text = new BrokerMetrics(() => GAUGES).text();
  const mutants = [
    text.replace("# EOF\n", ""),
    text.replace("# EOF", "\n# EOF"),
    text.replace("# TYPE holdfast_broker_hellos counter\n", ""),
    text.replace("hellos_total{", "hellos{"),
    text.replace('result="proxy"', 'result="pr"oxy"'),
    text.replace('result="proxy"', 'result="redirect"'),
    text.replace('le="+Inf"} 0', 'le="+Inf"} 1'),
    text.replace('le="1.0"', 'le="1"'),
    text.replace(/^.*le="\+Inf".*\n/m, ""),
    text.replace("_redirects_total 0", "_redirects_total -1"),
    text.replace("# UNIT holdfast_broker_uptime_seconds seconds", "# UNIT holdfast_broker_uptime_seconds minutes"),
  ];
  for (const mutant of mutants) {
    assert.notEqual(mutant, text);
    assert.throws(() => parseOpenMetrics(mutant), assert.AssertionError, mutant);
  }
});

test("broker metrics: B2: counters of one label start at 0, pairs with their first connection", () => {
  const metrics = new BrokerMetrics(() => GAUGES);
  assert.deepEqual(values(metrics, "connections"), {});
  const zeros = (labels: readonly string[]) => Object.fromEntries(labels.map((label) => [`_total ${label}`, 0]));
  assert.deepEqual(values(metrics, "hellos"), zeros(HELLO_RESULTS));
  assert.deepEqual(values(metrics, "offers"), zeros(OFFER_OUTCOMES));
  assert.deepEqual(values(metrics, "spawn_attempts"), zeros(SPAWN_OUTCOMES));
});

test("broker metrics: what is counted is told", () => {
  const metrics = new BrokerMetrics(() => GAUGES);
  metrics.recordConnection("handoff", "none");
  metrics.recordConnection("handoff", "none");
  metrics.recordConnection("redirect", "adopted-backend");
  metrics.recordHello("handoff", 1);
  metrics.recordHello("rate-limited", 1);
  metrics.recordOffer("acked", 1);
  metrics.recordOffer("lost", 1);
  metrics.recordSpawn("unable");
  metrics.count("redirects");
  metrics.count("connections_dropped", 7);
  assert.deepEqual(values(metrics, "connections"), { "_total handoff none": 2, "_total redirect adopted-backend": 1 });
  assert.equal(values(metrics, "hellos")["_total handoff"], 1);
  assert.equal(values(metrics, "hellos")["_total rate-limited"], 1);
  assert.deepEqual(values(metrics, "offers"), { "_total acked": 1, "_total nacked": 0, "_total lost": 1, "_total expired": 0 });
  assert.deepEqual(values(metrics, "spawn_attempts"), { "_total ready": 0, "_total unable": 1, "_total failed": 0 });
  assert.deepEqual(values(metrics, "redirects"), { _total: 1 });
  assert.deepEqual(values(metrics, "connections_dropped"), { _total: 7 });
});

test("broker metrics: a duration is in every bucket that it does not exceed, in seconds", () => {
  const metrics = new BrokerMetrics(() => GAUGES);
  for (const durationUs of [0, 100, 101, 1_000_000, 60_000_001]) metrics.recordHello("proxy", durationUs);
  const told = values(metrics, "hello_duration_seconds");
  const at = (bound: string) => told[`_bucket proxy ${bound}`];
  assert.deepEqual([at("0.0001"), at("0.00025"), at("0.5"), at("1.0"), at("60.0"), at("+Inf")], [2, 3, 3, 4, 4, 5]);
  assert.equal(told["_count proxy"], 5);
  assert.equal(told["_sum proxy"], 61.000202);
  assert.equal(told["_count handoff"], 0);
});

test("broker metrics: times are kept of Hellos that got a route, and of offers that were taken", () => {
  const metrics = new BrokerMetrics(() => GAUGES);
  for (const result of HELLO_RESULTS) metrics.recordHello(result, 5);
  for (const outcome of OFFER_OUTCOMES) metrics.recordOffer(outcome, 5);
  const counts = Object.entries(values(metrics, "hello_duration_seconds")).filter(([name]) => name.startsWith("_count"));
  assert.deepEqual(Object.fromEntries(counts), { "_count direct": 1, "_count handoff": 1, "_count redirect": 1, "_count proxy": 1 });
  assert.equal(values(metrics, "handoff_duration_seconds")["_count"], 1);
});

test("broker metrics: gauges are asked for when they are read; an unknown one is left out", () => {
  let gauges = GAUGES;
  const metrics = new BrokerMetrics(() => gauges);
  assert.deepEqual(values(metrics, "backends"), { " ready": 2, " starting": 0 });
  assert.deepEqual(values(metrics, "uptime_seconds"), { "": 1.5 });
  assert.deepEqual(values(metrics, "descriptors_used_ratio"), { "": 0.25 });
  gauges = { ...GAUGES, backends: {}, descriptorsUsedShare: undefined, connectionsOpen: Infinity };
  assert.deepEqual(values(metrics, "backends"), {});
  assert.deepEqual(values(metrics, "descriptors_used_ratio"), {});
  assert.deepEqual(values(metrics, "connections_open"), { "": Infinity });
});

test("broker metrics: any text survives as a label", () => {
  const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: fc.constantFrom("\\", '"', "\n", "n", "}", ",", "=", "#", " ") }));
  fc.assert(fc.property(fc.dictionary(text, fc.nat()), (backends) => {
    const told = families(new BrokerMetrics(() => ({ ...GAUGES, backends }))).get("backends");
    const states = told?.samples.map(({ labels, value }) => [labels["state"], value]);
    assert.deepEqual(new Map(states as [string, number][]), new Map(Object.entries(backends)));
  }));
});

test("broker metrics: B1: no use makes the text longer than its labels allow", () => {
  const metrics = new BrokerMetrics(() => GAUGES);
  for (const route of ["direct", "handoff", "redirect", "proxy"] as const) {
    for (const reason of CONNECTION_REASONS) metrics.recordConnection(route, reason);
  }
  const lines = metrics.text().split("\n").length;
  for (const result of HELLO_RESULTS) metrics.recordHello(result, 70_000_000);
  metrics.recordConnection("handoff", "none");
  assert.equal(metrics.text().split("\n").length, lines);
});
