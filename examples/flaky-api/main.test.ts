import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const main = join(import.meta.dirname, "main.ts");

test("flaky api: a second process starts with what the first one learned of the remote", async () => {
  const { stdout } = await run(process.execPath, ["--conditions=holdfast-source", main, "0.8"]);
  const [first, second] = stdout.split("second process\n") as [string, string];
  assert.match(first, /known at the start: .*no round trip is known, the deadline is 2000 ms/);
  assert.match(first, /advised \(advice\), for \d+ ms/);
  assert.match(first, /down \((?:reset|timed-out)\), for \d+ ms/);
  assert.match(first, / answered \d+/);
  assert.match(second, /known at the start: .*a round trip takes \d+ ms/);
  assert.doesNotMatch(second, /known at the start: .*no round trip/);
});

test("flaky api: wrong words are refused", async () => {
  await assert.rejects(run(process.execPath, ["--conditions=holdfast-source", main, "soon"]), { code: 2, stderr: /^usage: / });
});
