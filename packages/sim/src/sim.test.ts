import assert from "node:assert/strict";
import { test } from "node:test";
import { believeEveryMemory, catchMutant, MUTANT_SEEDS, MUTANTS, patchSessions } from "./mutants/mutants.ts";
import { restoreOldBackup } from "./run/old-backup.ts";
import { Violation } from "./violation.ts";
import type { Flaws } from "./world/world.ts";
import { crashAtEverySeam, runSeed, runSeedTwice } from "./run/run-seed.ts";

/** How many seeds; `HOLDFAST_SIM_SEEDS=5000` for a long night. */
const SEEDS = Number(process.env["HOLDFAST_SIM_SEEDS"] ?? 100);
/** Of these, so many run twice; `npm run sim` does it with all. */
const TWICE = Math.ceil(SEEDS / 10);

/** Rare branches: a batch that did not reach them has proved little. */
const SOMETIMES = [
  "crash claimed", "crash loaded", "crash restored", "crash polled", "crash appended", "crash written", "crash durable",
  "crash committed", "crash released", "a zombie was fenced", "an fsync failed", "work went on after a restart", "work was done more than once outside",
  "partition: split", "partition: isolate", "partition: one-way", "a wall clock was set",
  "peer-down", "peer-up", "site-suspect", "pause-recognised", "address-unknown",
];

test(`sim: whatever happens to machines, disks, links and clocks, no promise is broken (${SEEDS} seeds)`, () => {
  const labels = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = seed <= TWICE ? runSeedTwice(seed) : runSeed(seed);
    if (run.violation !== undefined) throw new Error(`npm run sim -- --seed ${seed}`, { cause: run.violation });
    for (const label of run.labels) labels.add(label);
  }
  assert.deepEqual(SOMETIMES.filter((label) => !labels.has(label)), [], "every rare branch was reached");
});

test("sim: a crash at each seam of a small world breaks no promise", () => {
  const { seams, violations } = crashAtEverySeam(1);
  assert.ok(seams > 100, `${seams} seams`);
  assert.deepEqual(violations.map(({ seam, violation }) => `seam ${seam}: ${violation.rule}: ${violation.message}`), []);
});

test("sim: a machine that is restored from an old backup is noticed by every peer that knows more", () => {
  const results = Array.from({ length: 20 }, (_, at) => restoreOldBackup(at + 1));
  assert.ok(results.filter(({ detected }) => detected).length > 10, "most backups were older than what peers had seen");
});

test("sim: a detector that sees no lost history is noticed", () => {
  const blind: Flaws = { patch: patchSessions(believeEveryMemory) };
  assert.throws(() => {
    for (let seed = 1; seed <= 20; seed++) restoreOldBackup(seed, blind);
  }, (error) => error instanceof Violation && error.rule === "honest-peers");
});

for (const mutant of MUTANTS) {
  test(`sim: the mutant ${mutant.name} is caught: ${mutant.does}`, () => {
    assert.ok(catchMutant(mutant) !== undefined, `not caught in ${MUTANT_SEEDS} seeds`);
  });
}
