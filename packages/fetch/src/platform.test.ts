import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

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

test("the package loads where there is no Node.js: nothing but itself and the peer components", () => {
  assert.ok(loadedWith(join(import.meta.dirname, "mod.ts")).size > 15);
  loadedWith(join(import.meta.dirname, "virtual-clock.ts"));
});
