import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

/** Core's folders in the order in which data flows: each may import those before it, and itself. */
const CORE_ORDER = ["base", "peer", "wire", "flow", "engine", "snapshot", "driver.ts", "mod.ts"];
/** What each package may import of the others. */
const PACKAGES: Record<string, readonly string[]> = {
  "packages/core": [],
  "packages/host": ["@holdfast/core"],
  "packages/sim": ["@holdfast/core"],
  "packages/lab": ["@holdfast/core"],
  "packages/fetch": ["@holdfast/core/peer"],
  "packages/broker": ["@holdfast/core", "@holdfast/host"],
  "packages/cli": ["@holdfast/core", "@holdfast/fetch", "@holdfast/host", "@holdfast/broker"],
  examples: ["holdfast", "@holdfast/fetch"],
};
/** What core may import from outside; its peer components nothing at all. */
const CORE_LIBRARIES = ["cborg", "@noble/hashes", "@standard-schema/spec"];
/** All that broker may load of core and host: every client of every service loads it too, and with the rest it would take twice as long. */
const LIGHT_PARTS = ["@holdfast/core/peer", "@holdfast/core/frame", "@holdfast/host/private-directory", "@holdfast/host/process-lock"];

/** What fetch may import from outside, and in which of its files: each is an entry of its own, and the library the user's choice. */
const FETCH_LIBRARIES: Record<string, string> = { "@grpc/grpc-js": "packages/fetch/src/grpc/", "@opentelemetry/api": "packages/fetch/src/opentelemetry.ts" };
/** The rules for one peer or site, which browsers load: none brings the table of errors, reading of stored states, or another peer's. */
const RULES_FOR_ONE = [
  "failure/backoff-schedule.ts", "failure/half-open.ts", "failure/retry-tokens.ts", "deadlines/learned-site.ts", "deadlines/global-prior.ts",
  "deadlines/budget-blend.ts", "number-rows.ts",
];
const WEIGHTY = ["base/errors.ts", "peer/read-quantity.ts", "peer/make-room.ts"];

interface Import {
  readonly file: string;
  readonly target: string;
  /** Gone when the program runs. */
  readonly isTypeOnly: boolean;
}

function importsOf(folder: string): Import[] {
  const files = globSync(`${folder}/**/*.ts`, { cwd: root, exclude: (name) => name === "node_modules" || name === "dist" });
  return files.filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/")).flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const found = text.matchAll(/^(?:import|export)\s(type\s)?(?:[^"();]*?\sfrom\s+)?"([^"]+)";/gm);
    return [...found].map(([, type, target]) => ({ file, target: target as string, isTypeOnly: type !== undefined }));
  });
}

test("layers: the folders of core import only what lies before them", () => {
  const imports = importsOf("packages/core/src");
  assert.ok(imports.length > 200, `the scan finds core's imports (found ${imports.length})`);
  for (const { file, target } of imports) {
    if (!target.startsWith(".")) continue;
    const from = relative("packages/core/src", file).split("/")[0] as string;
    const to = relative("packages/core/src", join(dirname(file), target)).split("/")[0] as string;
    assert.ok(CORE_ORDER.includes(from) && CORE_ORDER.includes(to), `${file} → ${target}: a folder without a place in the order`);
    assert.ok(CORE_ORDER.indexOf(to) <= CORE_ORDER.indexOf(from), `${file} imports ${target}, against the order ${CORE_ORDER.join(" → ")}`);
  }
});

test("layers: core needs a CBOR library and a hash, its peer components neither", () => {
  for (const { file, target } of importsOf("packages/core/src")) {
    if (target.startsWith(".")) continue;
    assert.ok(CORE_LIBRARIES.some((library) => target === library || target.startsWith(`${library}/`)), `${file} imports ${target}`);
    assert.ok(!file.startsWith("packages/core/src/peer/"), `${file} imports ${target}: the peer components depend on nothing`);
  }
});

test("layers: fetch imports libraries only where they are asked for", () => {
  const libraries = importsOf("packages/fetch/src").filter(({ target }) => !target.startsWith(".") && !target.startsWith("node:") && target !== "@holdfast/core/peer");
  assert.deepEqual(new Set(libraries.map(({ target }) => target)), new Set(Object.keys(FETCH_LIBRARIES)));
  for (const { file, target } of libraries) assert.ok(file.startsWith(FETCH_LIBRARIES[target] as string), `${file} imports ${target}`);
});

test("layers: packages import only what lies below them", () => {
  for (const [folder, allowed] of Object.entries(PACKAGES)) {
    const imports = importsOf(folder);
    assert.ok(imports.length > 0, `the scan finds the imports of ${folder}`);
    for (const { file, target } of imports) {
      const ours = target === "holdfast" || target.startsWith("holdfast/") || target.startsWith("@holdfast/");
      if (ours) assert.ok(allowed.some((name) => target === name || target.startsWith(`${name}/`)), `${file} imports ${target}`);
      if (!target.startsWith(".")) continue;
      assert.ok(!relative(folder, join(dirname(file), target)).startsWith(".."), `${file} reaches out of ${folder}: ${target}`);
    }
  }
});

test("layers: broker loads only the light parts of core and host", () => {
  const loaded = importsOf("packages/broker/src").filter(({ target, isTypeOnly }) => target.startsWith("@holdfast/") && !isTypeOnly);
  assert.ok(loaded.length > 20, `the scan finds broker's imports (found ${loaded.length})`);
  for (const { file, target } of loaded) assert.ok(LIGHT_PARTS.includes(target), `${file} loads ${target}`);
});

test("layers: the rules for one peer load no tables and no errors", () => {
  const imports = importsOf("packages/core/src").filter(({ isTypeOnly }) => !isTypeOnly);
  const loaded = new Set(RULES_FOR_ONE.map((file) => join("packages/core/src/peer", file)));
  for (const file of loaded) {
    const targets = imports.filter((one) => one.file === file).map(({ target }) => join(dirname(file), target));
    for (const target of targets) loaded.add(target);
  }
  assert.ok(loaded.size > RULES_FOR_ONE.length, "the scan finds what they import");
  for (const file of WEIGHTY) assert.ok(!loaded.has(join("packages/core/src", file)), `they load ${file}`);
});
