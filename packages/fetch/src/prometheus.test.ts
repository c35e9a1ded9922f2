import assert from "node:assert/strict";
import { test } from "node:test";
import { openPeers } from "./mod.ts";
import { prometheusText } from "./prometheus.ts";
import { VirtualClock } from "./virtual-clock.ts";

const fail = (): never => {
  throw new Error("x");
};

test("prometheus: well-formed lines, labels escaped and bounded, those in trouble first", async () => {
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  for (let peer = 0; peer < 30; peer++) await peers.run(`p${peer}`, () => 1, { site: 'GET "x"\\' });
  for (let failure = 0; failure < 5; failure++) await peers.run("z\n", fail).catch(() => {});
  const text = prometheusText(peers, { peersMax: 3 });
  for (const line of text.trimEnd().split("\n")) assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})? [\d.e+-]+)$/);
  assert.match(text, /^holdfast_peers 31$/m);
  assert.match(text, /^holdfast_peer_down\{peer="z\\n"\} 1$/m);
  assert.equal(text.match(/^holdfast_peer_down\{/gm)?.length, 3);
  assert.match(text, /^holdfast_site_deadline_seconds\{peer="p0",site="GET \\"x\\"\\\\"\} /m);
  assert.ok(text.endsWith("\n"));
});
