import assert from "node:assert";
import { parentPort } from "node:worker_threads";
import { addReports, type BatchReport, type Slice } from "./batch.ts";
import { caseOfSeed } from "./case.ts";
import { runSeed, runSeedTwice } from "./run-seed.ts";

/** One thread of a batch: runs the seeds it is given and reports. */
assert(parentPort !== null, "runs as a worker");
const port = parentPort;

port.on("message", ({ from, to, twiceEvery }: Slice) => {
  let report: BatchReport = { from, to: from, events: 0, virtualNs: 0, labels: [], failures: [] };
  for (let seed = from; seed < to; seed++) report = addReports(report, reportOf(seed, seed % twiceEvery === 0));
  port.postMessage(report);
});

function reportOf(seed: number, twice: boolean): BatchReport {
  const { violation, events, virtualNs, labels } = twice ? runSeedTwice(seed) : runSeed(seed);
  const runs = twice ? 2 : 1;
  const failures = violation === undefined ? [] : [{ seed, rule: violation.rule, message: violation.message, case: caseOfSeed(seed).case }];
  return { from: seed, to: seed + 1, events: runs * events, virtualNs: runs * virtualNs, labels: [...labels], failures };
}
