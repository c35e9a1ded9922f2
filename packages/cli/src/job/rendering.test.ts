import assert from "node:assert/strict";
import { test } from "node:test";
import { detailsText } from "../commands/executions.ts";
import { peersTables } from "../commands/peers.ts";
import { spanText } from "../commands/time-text.ts";
import { PeerTally } from "./peer-tally.ts";
import { barText, msText, nodeLine, phiText } from "./progress.ts";
import { peersText, proofText, reportText } from "./report-text.ts";
import type { PeerReport } from "@holdfast/host";

const progress = { what: "batches", settled: 30, total: 60, inFlight: 6, elapsedMs: 2345 };
const peer: PeerReport = {
  id: "12D3", name: "worker-1", linked: true, incarnation: 2, verdict: "live", governorDown: false, consecutiveFailures: 0, cooldownMs: 0,
  policy: "allowed", phi: 0.5, inFlight: 1, unacknowledged: 0, calls: 7, replies: 6, failures: 1, downs: 0, refusedEnvelopes: 0,
  historyLost: false, addresses: [],
  sites: [
    { site: "link", srttMs: 0.5, samples: 9, deadlineMs: 20, tier: "site" },
    { site: "text-index/batch", srttMs: 1234, samples: 7, deadlineMs: 3000, tier: "site" },
  ],
};

test("progress: a bar on a terminal, a line on a pipe", () => {
  assert.equal(barText(progress, 10), "[#####-----]  50 %  30 / 60 batches, 6 in flight, 2.3 s");
  assert.equal(barText(progress, 0), " 50 %  30 / 60 batches, 6 in flight, 2.3 s");
  assert.equal(barText({ ...progress, settled: 0, total: 0 }, 4), "[----]   0 %  no batches yet, 6 in flight, 2.3 s");
});

test("progress: a node that is not there, and one that is", () => {
  assert.equal(nodeLine({ name: "boss", pid: undefined, state: "waiting", deaths: 2, peer: undefined }).trimEnd(), "boss                 -  waiting   died 2");
  assert.match(nodeLine({ name: "worker-1", pid: 12, state: "running", deaths: 0, peer }), /linked +live +φ +0\.50 +7 calls, 1 in flight, 1 failures$/);
  assert.deepEqual([phiText(Infinity), phiText(3), msText(undefined), msText(0.5), msText(12.34), msText(1500)], ["> 99", "3.00", "-", "0.50 ms", "12.3 ms", "1.50 s"]);
});

test("report: rows, peers and proofs", () => {
  const report = { rows: [["terms", "12"]] as const, proofs: [{ claim: "it is right", holds: true, detail: "abc" }, { claim: "once", holds: false, detail: "twice" }] };
  assert.match(reportText(report, 2345), /│ terms │ +12 │\n│ time +│ 2\.35 s │/);
  assert.equal(proofText(report), "proved: it is right (abc)\nFAILED: once (twice)");
  assert.match(peersText([peer], () => 3), /│ worker-1 │ +7 │ +0\.50 ms │ +20\.0 ms │ +1\.23 s │ +3\.00 s │ +1 │ +0 │ 0\.50 │ +3 │/);
  assert.match(peersTables([peer]), /worker-1 │ text-index\/batch │ 1\.23 s/);
});

test("peer tally: adds up the lives of the node that reports", () => {
  const tally = new PeerTally();
  tally.handleReports([{ ...peer, calls: 5 }]);
  tally.handleReports([{ ...peer, calls: 7 }]);
  tally.handleReports([]);
  tally.handleReports([{ ...peer, calls: 1, failures: 0, sites: [] }]);
  const [sum] = tally.reports();
  assert.deepEqual([sum?.calls, sum?.failures, sum?.sites.length], [8, 1, 2]);
});

test("executions: says what each operation waits for, and until when", () => {
  const text = detailsText({
    id: "e1", flow: "approve", state: "running", origin: "application", startedAtMs: 0, endedAtMs: null, deadlineAtMs: "never", outcome: null,
    operations: [
      { name: "wait-approval", kind: "wait", state: "parked", waitsFor: "event approval", untilMs: 86_400_000, progress: null },
      { name: "batches", kind: "map", state: "parked", waitsFor: null, untilMs: null, progress: { settled: 1, total: 9, failed: 2, inFlight: 6 } },
    ],
  });
  assert.match(text, /^e1: approve, running, started by application at 1970-01-01 00:00:00, deadline never\n/);
  assert.match(text, /wait-approval │ wait │ parked │ event approval │ 1970-01-02 00:00:00 │/);
  assert.match(text, /1 of 9, 6 in flight, 2 failed/);
});

test("spans: the two largest parts", () => {
  assert.deepEqual([0, 5_000, 65_000, 3_600_000, 100_000_000].map(spanText), ["0 s", "5 s", "1 min 5 s", "1 h 0 min", "1 d 3 h"]);
});
