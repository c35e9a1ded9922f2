import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { BuildIds } from "./build-id.ts";

let root: string;
let entry: string;
let time = 1_000_000;

/** Every write has a time of its own, however coarse the file system's clock. */
function write(path: string, text: string): void {
  writeFileSync(path, text);
  utimesSync(path, ++time, time);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-build-"));
  mkdirSync(join(root, "dist"));
  entry = join(root, "dist", "main.js");
  write(entry, "main");
  write(join(root, "package.json"), JSON.stringify({ name: "index", version: "1.0.0", scripts: {} }));
});
afterEach(() => rmSync(root, { recursive: true }));

test("build: 16 hex digits, the same for whoever asks and wherever it lies", () => {
  const id = new BuildIds().buildId(entry);
  assert.match(id, /^[0-9a-f]{16}$/);
  const copy = join(root, "copy");
  mkdirSync(copy);
  write(join(copy, "main.js"), "main");
  write(join(copy, "package.json"), JSON.stringify({ version: "1.0.0", name: "index" }));
  assert.equal(new BuildIds().buildId(join(copy, "main.js")), id);
});

const changes: readonly { name: string; change: () => void; differs: boolean }[] = [
  { name: "another content", change: () => write(entry, "MAIN"), differs: true },
  { name: "another version", change: () => write(join(root, "package.json"), JSON.stringify({ name: "index", version: "1.0.1" })), differs: true },
  { name: "another name", change: () => write(join(root, "package.json"), JSON.stringify({ name: "xedni", version: "1.0.0" })), differs: true },
  { name: "another field of the package", change: () => write(join(root, "package.json"), JSON.stringify({ name: "index", version: "1.0.0", x: 1 })), differs: false },
  { name: "a nearer package", change: () => write(join(root, "dist", "package.json"), JSON.stringify({ type: "module" })), differs: true },
  { name: "a folder of that name", change: () => mkdirSync(join(root, "dist", "package.json")), differs: false },
  { name: "no package any more", change: () => rmSync(join(root, "package.json")), differs: true },
  { name: "a damaged package", change: () => write(join(root, "package.json"), "{"), differs: true },
  { name: "a package that is null", change: () => write(join(root, "package.json"), "null"), differs: true },
  { name: "the same content, newly written", change: () => write(entry, "main"), differs: false },
];
for (const { name, change, differs } of changes) {
  test(`build: ${name} ${differs ? "makes another build" : "does not"}, also for who knew it`, () => {
    const builds = new BuildIds();
    const before = builds.buildId(entry);
    change();
    const later = builds.buildId(entry);
    assert.equal(later !== before, differs);
    assert.equal(later, new BuildIds().buildId(entry), "what is remembered is what is there");
  });
}

test("build: package and content do not run into each other", () => {
  write(join(root, "package.json"), JSON.stringify({ name: "a", version: "b" }));
  write(entry, "c");
  const id = new BuildIds().buildId(entry);
  rmSync(join(root, "package.json"));
  write(entry, `${JSON.stringify(["a", "b"])}c`);
  assert.notEqual(new BuildIds().buildId(entry), id);
});

test("build: an entry that did not change is not read again", () => {
  const builds = new BuildIds();
  const before = builds.buildId(entry);
  const { atime, mtime } = statSync(entry);
  writeFileSync(entry, "MAIN"); // in place: the same number and size
  utimesSync(entry, atime, mtime);
  assert.equal(builds.buildId(entry), before);
});

for (const [name, path] of [["no file", "dist/none.js"], ["a folder", "dist"]] as const) {
  test(`build: ${name} is SERVICE_INVALID`, () => {
    assert.throws(() => new BuildIds().buildId(join(root, path)), { code: "SERVICE_INVALID" });
  });
}
