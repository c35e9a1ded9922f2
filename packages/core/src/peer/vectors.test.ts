import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { replay } from "./testing/replay.ts";
import type { Trace } from "./testing/replay.ts";

const directory = fileURLToPath(new URL("../../../../vectors/", import.meta.url));
const files = readdirSync(directory).filter((file) => file.endsWith(".jsonl"));
const tracesOf = (file: string) =>
  readFileSync(directory + file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Trace);

test("vectors: all seven files are there", () => assert.equal(files.length, 7));

for (const file of files) {
  test(`vectors: every trace of ${file} replays`, () => {
    for (const trace of tracesOf(file)) assert.equal(replay(trace), undefined);
  });

  test(`vectors: the replay of ${file} notices any changed answer`, () => {
    for (const trace of tracesOf(file).filter(({ range }) => range === "safe")) {
      for (const [at, step] of trace.steps.entries()) {
        const [field] = Object.keys(step.expect as object);
        if (field === undefined) continue;
        const steps = trace.steps.with(at, { ...step, expect: { ...(step.expect as object), [field]: "changed" } });
        assert.equal(replay({ ...trace, steps })?.step, at, `${trace.name}, step ${at}`);
        if (at >= 5) break;
      }
    }
  });
}

test("vectors: the command counts, and says what is wrong with its argument", () => {
  const command = fileURLToPath(new URL("testing/vectors.ts", import.meta.url));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ["--conditions=holdfast-source", command, ...args], { encoding: "utf8" });
  const good = run(directory);
  assert.deepEqual([good.status, good.stdout.trim()], [0, "207 passed, 0 failed"]);
  assert.equal(run().status, 2);
  const missing = run(`${directory}missing`);
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /cannot read the directory/);
});
