import { ask, jsonText } from "./ask.ts";
import { msText, phiText } from "../job/progress.ts";
import { tableText } from "./table.ts";
import type { PeerReport } from "@holdfast/host";

export async function peers(node: string, { data, json }: { readonly data?: string; readonly json?: boolean }): Promise<void> {
  const reports = await ask({ node, ...(data === undefined ? {} : { data }) }, (client) => client.call("peers", {}));
  console.log(json === true ? jsonText(reports) : peersTables(reports));
}

export function peersTables(reports: readonly PeerReport[]): string {
  const head = ["peer", "link", "verdict", "φ", "policy", "cooldown", "failures in a row", "calls", "replies", "failures", "down", "in flight", "incarnation", "id"];
  const table = tableText(head, reports.map((peer) => [
    peer.name ?? "-", peer.linked ? "up" : "down", peer.governorDown ? `${peer.verdict}, failing` : peer.verdict, phiText(peer.phi), peer.policy,
    msText(peer.cooldownMs), peer.consecutiveFailures, peer.calls, peer.replies, peer.failures, peer.downs, peer.inFlight,
    peer.incarnation ?? "-", peer.id,
  ]));
  const sites = reports.flatMap((peer) => peer.sites.map(({ site, srttMs, deadlineMs, samples, tier }) =>
    [peer.name ?? peer.id, site, msText(srttMs), msText(deadlineMs), samples, tier]));
  return `${table}\n${tableText(["peer", "site", "round trip", "learned deadline", "samples", "known from"], sites)}`;
}
