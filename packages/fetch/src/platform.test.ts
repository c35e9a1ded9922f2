import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import * as inBrowsers from "./browser.ts";

/** Every module of ours that loads with the first one. */
function loadedWith(entry: string, known = new Set<string>()): Set<string> {
  if (known.has(entry)) return known;
  known.add(entry);
  for (const [, target] of readFileSync(entry, "utf8").matchAll(/^(?:import|export)\s(?!type\s)[^;]*?from "([^"]+)";/gm)) {
    if (target?.startsWith(".") === true) loadedWith(join(dirname(entry), target), known);
    else assert.equal(target, "@holdfast/core/peer", `${entry} loads ${target}`);
  }
  return known;
}

const fileOf = (name: string): string => join(import.meta.dirname, name);

test("the package loads where there is no Node.js: nothing but itself and the peer components", () => {
  assert.ok(loadedWith(fileOf("mod.ts")).size > 15);
  loadedWith(fileOf("virtual-clock.ts"));
});

test("browsers load neither state nor undici, and nothing of what only Node.js and its like have", () => {
  const loaded = loadedWith(fileOf("browser.ts"));
  assert.ok(loaded.size > 15);
  for (const file of loadedWith(fileOf("mod.ts"))) {
    const isServers = /\/state\/|\/(undici|tap-dispatcher|error-codes|server-peers|mod)\.ts$/.test(file);
    assert.equal(loaded.has(file), !isServers, file);
  }
});

test("browsers: peers keep no state, and say so; the rest is the same", async () => {
  const refused = { code: "OPTION_INVALID", option: "openPeers.state", message: /keeps no state/ };
  assert.throws(() => inBrowsers.openPeers({ state: "./peers.db" }), refused);
  await using peers = inBrowsers.openPeers();
  assert.equal(await peers.run("api", () => 1), 1);
  assert.equal(peers.explain("api").state, "open");
  // No code says more than that.
  await assert.rejects(peers.run("api", () => Promise.reject(Object.assign(new TypeError("Failed to fetch"), { code: "EMFILE" }))));
  assert.equal(peers.explain("api").failuresInARow, 1);
  const onServers = Object.keys(await import("./mod.ts"));
  assert.deepEqual(Object.keys(inBrowsers), onServers, "the same names");
});
