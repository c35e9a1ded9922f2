import type { PeerReport } from "@holdfast/host";

const COUNTS = ["calls", "replies", "failures", "downs", "refusedEnvelopes"] as const;
type Counts = Record<(typeof COUNTS)[number], number>;

interface Tally {
  latest: PeerReport;
  /** What was counted in lives of the reporting node that have ended. */
  readonly ended: Counts;
}

/**
 * A node counts what it sees of its peers from its own start. The tally adds its lives up, as far as it was told: what
 * happened between the last report and a death is missing. Round trips of a site that the node has not met again
 * since are the last known.
 */
export class PeerTally {
  readonly #tallies = new Map<string, Tally>();

  handleReports(reports: readonly PeerReport[]): void {
    for (const report of reports) {
      const known = this.#tallies.get(report.id);
      if (known === undefined) {
        this.#tallies.set(report.id, { latest: report, ended: { calls: 0, replies: 0, failures: 0, downs: 0, refusedEnvelopes: 0 } });
        continue;
      }
      const { latest, ended } = known;
      // Counts only grow, unless they begin again.
      if (COUNTS.some((count) => report[count] < latest[count])) for (const count of COUNTS) ended[count] += latest[count];
      const met = new Set(report.sites.map(({ site }) => site));
      known.latest = { ...report, sites: [...report.sites, ...latest.sites.filter(({ site }) => !met.has(site))] };
    }
  }

  reports(): PeerReport[] {
    return [...this.#tallies.values()].map(({ latest, ended }) =>
      ({ ...latest, ...(Object.fromEntries(COUNTS.map((count) => [count, latest[count] + ended[count]])) as Counts) }));
  }
}
