import { RuntimeError } from "@holdfast/core";
import { ask, jsonText } from "./ask.ts";
import { explainedPeerText, policyText } from "./explained-peer-text.ts";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { msText, phiText } from "../job/progress.ts";
import { tableText } from "./table.ts";
import type { ControlClient, PeerReport } from "@holdfast/host";

export interface PeersOptions {
  readonly data?: string;
  /** A state file of `@holdfast/fetch`, in place of a node. */
  readonly state?: string;
  readonly json?: boolean;
  readonly explain?: string;
  readonly policy?: boolean;
  readonly block?: string;
  readonly unblock?: string;
  readonly allowOnly?: readonly string[];
  readonly allowAll?: boolean;
  /** Ms. */
  readonly for?: number;
  readonly reason?: string;
}

/** What a command does with the policy; each stands alone. */
const CHANGES = ["block", "unblock", "allowOnly", "allowAll"] as const;
const SHOWS = ["explain", "policy"] as const;

/** Shows a node's peers, or one, or its policy; or changes the policy and shows what it is then. A state file's likewise. */
export async function peers(node: string | undefined, options: PeersOptions): Promise<void> {
  checkOptions(options);
  if (options.state !== undefined) {
    if (node !== undefined) throw new RuntimeError("OPTION_INVALID", { option: "node", reason: "it does not go with --state" });
    return (await import("./state-peers.ts")).statePeers(options.state, options);
  }
  if (node === undefined) throw new RuntimeError("OPTION_INVALID", { option: "node", reason: "name a node, or give --state" });
  const isChange = CHANGES.some((change) => options[change] !== undefined);
  const target = { node, ...(options.data === undefined ? {} : { data: options.data }) };
  const text = await ask(target, async (client) => {
    if (isChange) await change(client, options);
    if (isChange || options.policy === true) {
      const report = await client.call("policy", {});
      return options.json === true ? jsonText(report) : policyText(report);
    }
    if (options.explain !== undefined) {
      const explained = await client.call("explain-peer", { peer: options.explain });
      return options.json === true ? jsonText(explained) : explainedPeerText(explained);
    }
    const reports = await client.call("peers", {});
    return options.json === true ? jsonText(reports) : peersTables(reports);
  });
  console.log(text);
}

function checkOptions(options: PeersOptions): void {
  const given = [...CHANGES, ...SHOWS].filter((option) => options[option] !== undefined);
  const named = (option: string): string => `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  if (given.length > 1) throw new RuntimeError("OPTION_INVALID", { option: given.map(named).join(" "), reason: "one at a time" });
  const terms = (["for", "reason"] as const).find((option) => options[option] !== undefined);
  if (terms !== undefined && given[0] !== "block" && given[0] !== "allowOnly") {
    throw new RuntimeError("OPTION_INVALID", { option: `--${terms}`, reason: "it goes with --block or --allow-only" });
  }
}

async function change(client: ControlClient, options: PeersOptions): Promise<void> {
  // A policy may name nodes of the fleet that are none of this node's peers.
  const { nodes } = FleetDirectory.find(options.data).read();
  const idOf = (who: string): string => nodes.find(({ name }) => name === who)?.id ?? who;
  const terms = { ...(options.for === undefined ? {} : { forMs: options.for }), ...(options.reason === undefined ? {} : { reason: options.reason }) };
  if (options.block !== undefined) await client.call("block", { peer: idOf(options.block), ...terms });
  else if (options.unblock !== undefined) await client.call("unblock", { peer: idOf(options.unblock) });
  else await client.call("allow-only", { peers: options.allowOnly?.map(idOf) ?? null, ...terms });
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
