/**
 * Who has changed state, asked of ten thousand watched sites: while nobody is due, and while every site beats once a
 * second. Beside a walk over a map of as many sites, which is what a scan without a queue does at least.
 */
import { type BenchOptions, type Figure, figure, interleave, median, rounds } from "../harness.ts";
import { filledWatch, NOW, peerIds, PEERS, sitesOf } from "./crowd.ts";

const TARGET_US = 5;
const SCANS = 1000;
const BEATS = 5;
const SCANS_PER_BEAT = 10;

export async function measureScan(options: BenchOptions): Promise<Figure[]> {
  const sites = sitesOf(peerIds(PEERS));
  const watch = filledWatch(sites);
  const beating = filledWatch(sites);
  const walked = new Map(sites.map((site) => [site, { seenAt: NOW }]));
  let now = NOW;
  let silent = 0;
  const samples = await interleave(rounds(options), {
    scan: () => perScan(SCANS, () => (silent += watch.scan(NOW + 1).length)),
    beating: () => {
      let us = 0;
      for (let beat = 0; beat < BEATS; beat++) {
        now += 1e9;
        for (const site of sites) beating.recordHeartbeat(site, now);
        us += perScan(SCANS_PER_BEAT, (at) => (silent += beating.scan(now + at * 1e8).length));
      }
      return us / BEATS;
    },
    walk: () => perScan(SCANS / 50, () => {
      for (const { seenAt } of walked.values()) if (NOW - seenAt > 1e9) silent++;
    }),
  });
  if (silent > 0) throw new Error("nobody fell silent");
  const [scan, walk] = [median(samples.scan), median(samples.walk)];
  const common = { unit: "µs", comparison: "a walk over a map of as many sites", other: walk };
  return [
    figure({ ...common, figure: "who changed, of 10 000 (18 ms)", value: scan, target: `≤ ${TARGET_US} µs`, met: scan <= TARGET_US }),
    figure({ ...common, figure: "the same, every 100 ms, each site beating", value: median(samples.beating), target: "none", met: true }),
  ];
}

function perScan(count: number, work: (at: number) => void): number {
  const startedAt = performance.now();
  for (let at = 0; at < count; at++) work(at);
  return ((performance.now() - startedAt) * 1e3) / count;
}
