import assert from "node:assert/strict";
import { test } from "node:test";
import { openPeers } from "./mod.ts";
import { observePeers } from "./prometheus.ts";
import { VirtualClock } from "./virtual-clock.ts";

const fail = (): never => {
  throw new Error("x");
};

/** The value of the one line that begins so. */
function valueOf(text: string, series: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(`${series} `));
  assert.equal(lines.length, 1, series);
  return Number(lines[0]?.slice(series.length + 1));
}

test("prometheus: well-formed lines, labels escaped and bounded, those in trouble named beside the first", async () => {
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  using metrics = observePeers(peers, { peersMax: 3 });
  for (let peer = 0; peer < 30; peer++) await peers.run(`p${peer}`, () => 1, { site: 'GET "x"\\' });
  for (let failure = 0; failure < 5; failure++) await peers.run("z\n", fail).catch(() => {});
  const text = metrics.text();
  for (const line of text.trimEnd().split("\n")) assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})? [\d.e+-]+)$/);
  assert.match(text, /^holdfast_peers 31$/m);
  assert.match(text, /^holdfast_peer_down\{peer="z\\n"\} 1$/m);
  assert.equal(text.match(/^holdfast_peer_down\{/gm)?.length, 3);
  assert.match(text, /^holdfast_site_deadline_seconds\{peer="p0",site="GET \\"x\\"\\\\"\} /m);
  assert.equal(valueOf(text, 'holdfast_attempts_total{peer="other",site="other",outcome="works"}'), 28);
  assert.equal(valueOf(text, 'holdfast_attempts_total{peer="z\\n",site="",outcome="failed"}'), 5);
  assert.equal(valueOf(text, 'holdfast_transitions_total{peer="z\\n",kind="down"}'), 1);
  assert.ok(text.endsWith("\n"));
});

test("prometheus: how long attempts took, in buckets that hold each other", async () => {
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  using metrics = observePeers(peers);
  for (const ms of [4, 60, 20_000]) {
    const call = peers.run("a", (signal) => clock.sleep(ms, signal), { deadline: "none" });
    await clock.advance(ms);
    await call;
  }
  const bucket = (le: string): number => valueOf(metrics.text(), `holdfast_attempt_duration_seconds_bucket{peer="a",site="",le="${le}"}`);
  assert.deepEqual(["0.005", "0.05", "0.075", "10", "30", "+Inf"].map(bucket), [1, 1, 2, 2, 3, 3]);
  assert.equal(valueOf(metrics.text(), 'holdfast_attempt_duration_seconds_count{peer="a",site=""}'), 3);
  assert.ok(Math.abs(valueOf(metrics.text(), 'holdfast_attempt_duration_seconds_sum{peer="a",site=""}') - 20.064) < 1e-6);
});

test("prometheus: refusals by their reason, of every form of call; nothing is counted after disposal, nor of other peers", async () => {
  const peers = openPeers({ block: ["a"] });
  const metrics = observePeers(peers);
  await assert.rejects(peers.run("a", () => 1));
  assert.throws(() => peers.acquire("a"));
  const refusals = (): number => valueOf(metrics.text(), 'holdfast_refusals_total{peer="a",reason="PEER_BLOCKED"}');
  assert.equal(refusals(), 2);
  await openPeers().run("a", () => 1);
  assert.doesNotMatch(metrics.text(), /attempts_total\{/);
  metrics[Symbol.dispose]();
  await assert.rejects(peers.run("a", () => 1));
  peers.block("b");
  await peers.run("c", () => 1);
  assert.equal(refusals(), 2);
  assert.doesNotMatch(metrics.text(), /attempts_total\{|transitions_total\{/);
  peers.close();
  assert.match(metrics.text(), /^holdfast_peers \d+$/m, "also when the peers are closed");
});

test("prometheus: options are checked by name", () => {
  assert.throws(() => observePeers(openPeers(), { peersMax: 0 }), { code: "OPTION_INVALID" });
  assert.throws(() => observePeers(openPeers(), { sitesmax: 1 } as never), { code: "OPTION_INVALID" });
});
