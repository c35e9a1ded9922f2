import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { getEventListeners } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { openPeers } from "./mod.ts";
import type { Remains } from "./testing/abort-storm.ts";
import { serveHttp } from "./testing/servers.ts";

/**
 * A hundred thousand calls that are aborted at random moments. Most go through a fetch within the process, as a real one takes ten
 * times as long.
 */
const STORMS = [["in-process", 96_000], ["fetch", 2000], ["interceptor", 2000]] as const;

for (const [kind, aborts] of STORMS) {
  test(`aborts: ${aborts} of calls, ${kind}: nothing is left`, async () => {
    const storm = join(import.meta.dirname, "testing", "abort-storm.ts");
    const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=holdfast-source", storm, kind, String(aborts)]);
    const { sockets, grownBytes, ...counts } = JSON.parse(stdout) as Remains;
    assert.deepEqual(counts, { aborted: aborts, inFlight: 0, probes: 0, timers: 0, timeouts: 0, listeners: 0 });
    assert.ok(sockets <= 64, `${sockets} connections are no more than the agent keeps`);
    assert.ok(grownBytes < 8 << 20, `the heap grew by ${grownBytes} bytes`);
  });
}

test("aborts: what holds no body to its end holds no signal either", async (t) => {
  const { origin } = await serveHttp(t, (_message, response) => response.end("x"));
  const peers = openPeers();
  const fetch = peers.fetch();
  const { signal } = new AbortController();
  for (let call = 0; call < 100; call++) await fetch(origin, { signal });
  // Nobody reads these bodies; they are small, and have arrived.
  for (let turn = 0; turn < 1000 && getEventListeners(signal, "abort").length > 0; turn++) await new Promise(setImmediate);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});
