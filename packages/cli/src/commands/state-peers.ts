import { RuntimeError } from "@holdfast/core";
import { jsonText } from "./ask.ts";
import { msText } from "../job/progress.ts";
import { printable, tableText } from "./table.ts";
import type { PeersOptions } from "./peers.ts";
import type { PeerExplained } from "@holdfast/fetch";

/** What goes beside `--state`. */
const OPTIONS: readonly (keyof PeersOptions)[] = ["state", "json", "explain", "block", "unblock", "for", "reason"];

/**
 * Shows what a state file of `@holdfast/fetch` knows of all peers or of one; or denies one, or takes that back, for all
 * processes that use the file: they look at it at most a second later. Throws NOT_FOUND; SNAPSHOT_INVALID for a file
 * that holds no peers, and leaves it alone; STORE_BUSY where it could not be written.
 */
export async function statePeers(file: string, options: PeersOptions): Promise<void> {
  const other = (Object.keys(options) as (keyof PeersOptions)[]).find((option) => !OPTIONS.includes(option));
  if (other !== undefined) throw new RuntimeError("OPTION_INVALID", { option: other, reason: "it does not go with --state" });
  const { inspectState } = await import("@holdfast/fetch/inspect");
  const known = inspectState(file);
  const { explain, block, unblock } = options;
  const asked = explain ?? block ?? unblock;
  if (asked === undefined) return console.log(options.json === true ? jsonText(known) : stateTables(known));
  const key = explain === undefined ? keyOf(asked, known) : begunKeyOf(asked, known);
  if (explain === undefined) await change(file, key, options);
  const peer = inspectState(file).find((one) => one.peer === key);
  const isDone = explain !== undefined || (peer?.policy.allow ?? true) === (block === undefined);
  if (!isDone) throw new RuntimeError("STORE_BUSY", { path: file, reason: "nothing was written, as others were at it; try again" });
  if (peer === undefined) throw new RuntimeError("PEER_UNKNOWN", { peer: asked });
  console.log(options.json === true ? jsonText(peer) : statePeerText(peer));
}

async function change(file: string, key: string, { block, for: forMs, reason }: PeersOptions): Promise<void> {
  const [{ openPeers }, { WHOLE_STATE }] = await Promise.all([import("@holdfast/fetch"), import("@holdfast/fetch/inspect")]);
  await using peers = openPeers({ ...WHOLE_STATE, state: file });
  if (block !== undefined) peers.block(key, { ...(forMs === undefined ? {} : { forMs }), ...(reason === undefined ? {} : { reason }) });
  else if (!peers.unblock(key)) throw new RuntimeError("NOT_FOUND", { block: key });
}

/** As it is meant where it is only looked at: also how one of the keys alone begins. */
function begunKeyOf(given: string, known: readonly PeerExplained[]): string {
  const key = keyOf(given, known);
  if (known.some(({ peer }) => peer === key)) return key;
  const begun = known.filter(({ peer }) => peer.startsWith(given));
  return begun.length === 1 ? begun[0]!.peer : key;
}

/** A key, known or not, or the origin of a URL. */
function keyOf(given: string, known: readonly PeerExplained[]): string {
  if (known.some(({ peer }) => peer === given)) return given;
  const url = URL.parse(given);
  return url !== null && /^https?:$/.test(url.protocol) ? url.origin : given;
}

export function stateTables(known: readonly PeerExplained[]): string {
  const table = tableText(["peer", "state", "why", "failures in a row", "retry after"], known.map((peer) =>
    [peer.peer, peer.state, peer.why, peer.failuresInARow, msText(peer.retryAfterMs)]));
  return `${table}\n${tableText(["peer", ...SITE_HEAD], known.flatMap((peer) => siteRows(peer).map((row) => [peer.peer, ...row])))}`;
}

/** Everything about one peer, on one screen. */
export function statePeerText(peer: PeerExplained): string {
  const line = (title: string, text: string): string => `${title.padEnd(10)} ${text}`;
  return [
    printable(peer.peer),
    `${peer.state}: ${printable(peer.why)}`,
    "",
    line("health", `${peer.failuresInARow} failures in a row${peer.isDown ? "; it is down" : ""}`),
    line("cooldown", peer.cooldownMs > 0 ? `${msText(peer.cooldownMs)} more, step ${peer.cooldownStep}` : "none"),
    line("advice", peer.advisedMs > 0 ? `it asked to be left alone for ${msText(peer.advisedMs)} more` : "none"),
    "",
    tableText(SITE_HEAD, siteRows(peer)),
  ].join("\n");
}

const SITE_HEAD = ["site", "round trip", "deviation", "learned deadline", "samples", "known from"];

function siteRows({ sites }: PeerExplained): (string | number)[][] {
  return sites.filter(({ samples }) => samples > 0).map(({ site, srttMs, deviationMs, deadlineMs, samples, tier }) =>
    [site === "" ? "-" : site, msText(srttMs), msText(deviationMs), msText(deadlineMs), samples, tier]);
}
