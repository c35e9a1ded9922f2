import { LINK_SITE } from "@holdfast/core";
import Table from "cli-table3";
import { msText, phiText } from "./progress.ts";
import type { PeerReport } from "@holdfast/host";
import type { JobReport } from "./fleet-job.ts";

/** Plain: no colours, so that the same text goes to a terminal and to a file. */
const STYLE = { head: [], border: [], compact: true };

/** The result of a job, and what holds of it. */
export function reportText(report: JobReport, elapsedMs: number): string {
  const table = new Table({ style: STYLE });
  table.push(...[...report.rows, ["time", `${(elapsedMs / 1000).toFixed(2)} s`]].map(([what, value]) => [what ?? "", { content: value ?? "", hAlign: "right" as const }]));
  return table.toString();
}

export function proofText(report: JobReport): string {
  return report.proofs.map(({ claim, holds, detail }) => `${holds ? "proved" : "FAILED"}: ${claim} (${detail})`).join("\n");
}

/** What a node learned of its peers: by the link itself, and by what it asked of them. */
export function peersText(peers: readonly PeerReport[], deaths: (name: string) => number): string {
  const head = ["peer", "calls", "link: round trip", "deadline", "calls: round trip", "deadline", "failures", "down", "φ", "died"];
  const table = new Table({ head, style: STYLE, colAligns: ["left", ...head.slice(1).map(() => "right" as const)] });
  for (const peer of peers.toSorted((a, b) => ((a.name ?? a.id) < (b.name ?? b.id) ? -1 : 1))) {
    const link = peer.sites.find(({ site }) => site === LINK_SITE);
    const work = peer.sites.filter(({ site }) => site !== LINK_SITE).sort((a, b) => b.samples - a.samples)[0];
    const name = peer.name ?? peer.id;
    table.push([
      name, peer.calls, msText(link?.srttMs), msText(link?.deadlineMs), msText(work?.srttMs), msText(work?.deadlineMs),
      peer.failures, peer.downs, phiText(peer.phi), deaths(name),
    ]);
  }
  return table.toString();
}
