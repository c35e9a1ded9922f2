import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { catchMutant, MUTANTS } from "./mutants/mutants.ts";
import type { BatchReport } from "./run/batch.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-sim-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function start(directory: string, ...args: string[]) {
  const child = spawn(process.execPath, ["--conditions=holdfast-source", MAIN, ...args], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const ended = once(child, "close").then(([status]) => ({ status: status as number | null, out, err }));
  return { child, ended };
}

const run = (directory: string, ...args: string[]) => start(directory, ...args).ended;

test("sim command: wrong words are answered with what would be right, and exit status 2", async (t) => {
  const directory = scratch(t);
  const wrong = [[], ["--seeds"], ["--seeds", "-1"], ["--seeds", "x"], ["--seed", "1", "--seeds", "2"], ["mutant"], ["--nothing"]];
  for (const { status, err } of await Promise.all(wrong.map((args) => run(directory, ...args)))) {
    assert.equal(status, 2);
    assert.match(err, /usage: npm run sim/);
  }
  const { status, out } = await run(directory, "--help");
  assert.equal(status, 0);
  assert.match(out, /usage: npm run sim/);
});

test("sim command: a batch that was stopped goes on where its file says", async (t) => {
  const directory = scratch(t);
  const { child, ended } = start(directory, "--seeds", "100000", "--jobs", "1", "--progress", "night.json");
  const file = join(directory, "night.json");
  await once(child.stderr, "data"); // told when it is saved
  child.kill("SIGINT");
  const stopped = await ended;
  assert.equal(stopped.status, 130, stopped.err);
  const { to } = JSON.parse(readFileSync(file, "utf8")) as BatchReport;
  assert.ok(to > 1);
  const { status, out } = await run(directory, "--seeds", String(to + 1), "--progress", "night.json");
  assert.equal(status, 0, out);
  assert.match(out, new RegExp(`${to + 1} seeds from 1, each twice: no violation\n2 of them now`));
  assert.equal((await run(directory, "--seeds", "9", "--from", "5", "--progress", "night.json")).status, 2, "those are other seeds");
  writeFileSync(file, "{}");
  assert.equal((await run(directory, "--seeds", "9", "--progress", "night.json")).status, 2, "that is no progress");
});

test("sim command: what fails is shrunk, stored, drawn, and fails again from its file", async (t) => {
  const directory = scratch(t);
  const mutant = MUTANTS.find(({ name }) => name === "work-before-commit");
  const { seed } = (mutant && catchMutant(mutant)) ?? assert.fail("a mutant that is caught");
  const { status, out } = await run(directory, "--seed", String(seed), "--mutant", "work-before-commit", "--lines", "5", "--shrink");
  assert.equal(status, 1, out);
  assert.match(out, /VIOLATION of commit-before-release/);
  const stem = `seed-${seed}-work-before-commit`;
  assert.deepEqual(readdirSync(join(directory, "sim-failures")), [`${stem}.json`, `${stem}.svg`]);
  assert.match(readFileSync(join(directory, "sim-failures", `${stem}.svg`), "utf8"), /^<svg .*\n[^]*commit-before-release[^]*<\/svg>\n$/);
  const again = await run(directory, "--case", `sim-failures/${stem}.json`);
  assert.equal(again.status, 1);
  assert.match(again.out, /VIOLATION of commit-before-release/);
  assert.equal((await run(directory, "--seed", "1", "--lines", "1")).status, 0);
  assert.equal((await run(directory, "--case", "none.json")).status, 2);
  assert.equal((await run(directory, "--seed", "1", "--mutant", "nobody")).status, 2);
});
