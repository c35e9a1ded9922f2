import assert from "node:assert/strict";
import { test } from "node:test";
import { catchMutant, MUTANT_SEEDS, MUTANTS } from "./mutants/mutants.ts";
import { runBatch } from "./run/batch.ts";
import { crashTwice } from "./run/crash-twice.ts";
import { restoreOldBackup } from "./run/old-backup.ts";
import { crashAtEverySeam } from "./run/run-seed.ts";

/** How many seeds; `HOLDFAST_SIM_SEEDS=5000` for a long night. */
const SEEDS = Number(process.env["HOLDFAST_SIM_SEEDS"] ?? 2000);
/** Of these, one in so many runs twice; `npm run sim` does it with all. */
const TWICE_EVERY = 10;

/** Rare branches: a batch that did not reach them has proved little. */
const SOMETIMES = [
  "crash claiming", "crash claimed", "crash loaded", "crash restored", "crash polled", "crash appended", "crash writing", "crash written", "crash durable",
  "crash committed", "crash released", "a zombie was fenced", "an fsync failed", "work went on after a restart", "work was done more than once outside",
  "stall", "clog", "half-open", "an envelope was lost", "a link ended inside a frame", "a writer was held back", "a link that nobody reads was given up",
  "partition: split", "partition: isolate", "partition: one-way", "a wall clock was set",
  "a clock stood still", "a wall clock went back while its machine was down", "a write found the disk full", "a start found the disk full", "an fsync took seconds",
  "a bit flipped", "damage was detected",
  "a core did without the others", "a gate was closed", "a request waited for a window", "a life was lived again",
  "chain ended by DEADLINE", "hasty ended by DEADLINE", "host work was aborted", "a request was sent with no time left",
  "a cancel won", "a cancel came too late", "an approval was taken", "an approval came too late",
  "a chain of two editions", "work of an older edition went on", "a process was asked to stop",
  "a blocklist changed", "an allowlist changed", "a policy on a range of addresses", "policy-expired", "peer-blocked", "a denied peer was told goodbye", "chain ended by DENIED", "chain ended by OUTCOME_UNKNOWN",
  "a snapshot was taken of a node at work", "a machine was restored from a current snapshot",
  "peer-down", "peer-up", "site-suspect", "pause-recognised", "address-unknown",
];

test(`sim: whatever happens to machines, disks, links and clocks, no promise is broken (${SEEDS} seeds)`, async () => {
  const { to, failures, labels } = await runBatch({ from: 1, to: SEEDS + 1, twiceEvery: TWICE_EVERY });
  assert.deepEqual(failures.map(({ seed, rule, message }) => `npm run sim -- --seed ${seed}: ${rule}: ${message}`), []);
  assert.equal(to, SEEDS + 1);
  assert.deepEqual(SOMETIMES.filter((label) => !labels.includes(label)), [], "every rare branch was reached");
});

test("sim: a crash at each seam of a small world breaks no promise", () => {
  const { seams, violations } = crashAtEverySeam(1);
  assert.ok(seams > 100, `${seams} seams`);
  assert.deepEqual(violations.map(({ seam, violation }) => `seam ${seam}: ${violation.rule}: ${violation.message}`), []);
});

test("sim: a second crash while the first is being recovered from breaks no promise", () => {
  const { pairs, violations } = crashTwice(1, { every: 8 });
  assert.ok(pairs > 200, `${pairs} pairs of seams`);
  assert.deepEqual(violations.map(({ seam, again, violation }) => `seam ${seam} + ${again}: ${violation.rule}: ${violation.message}`), []);
});

test("sim: a machine that is restored from an old backup is noticed by every peer that knows more", () => {
  const results = Array.from({ length: 20 }, (_, at) => restoreOldBackup(at + 1));
  assert.ok(results.filter(({ detected }) => detected).length >= 5, "backups were older than what peers had seen");
  assert.ok(results.filter(({ detected }) => !detected).length >= 3, "and others were not");
});

for (const mutant of MUTANTS) {
  test(`sim: the mutant ${mutant.name} is caught: ${mutant.does}`, () => {
    assert.ok(catchMutant(mutant) !== undefined, `not caught in ${MUTANT_SEEDS} seeds`);
  });
}
