import { msText, phiText } from "../job/progress.ts";
import { tableText } from "./table.ts";
import { spanText, timeText } from "./time-text.ts";
import type { ExplainedPeer, PolicyEntryReport, PolicyReport } from "@holdfast/host";

/** What an obstacle means, in a sentence. */
const OBSTACLES: { readonly [Obstacle in ExplainedPeer["obstacles"][number]]: string } = {
  "denied": "policy denies it: nothing is sent to it, and nothing of it is taken",
  "history-lost": "its memory contradicts ours: no session until an operator decides (holdfast restore --new-lineage)",
  "cooling-down": "it is left alone until its cooldown is over; replies and resends go on",
  "no-address": "there is no link, and no address at which we may dial it: it has to dial us",
  "no-link": "there is no link",
  "greeting": "the link is open, and the peer has not said yet where it stands",
  "window-full": "it takes no more requests for now; they wait",
  "down": "it is believed down: others are asked first",
};

const FAILURES: { readonly [event: string]: string } = {
  "dial-refused": "nobody answered our dial",
  "link-lost": "the link broke",
  "attempt-timed-out": "it did not accept a request in time",
};

const EVENTS: { readonly [What in ExplainedPeer["next"][number]["what"]]: string } = {
  "cooldown-ends": "the cooldown that its failures caused is over",
  "advice-ends": "the rest that it asked for is over",
  "entry-expires": "the policy expires",
  "redial": "we dial it again",
  "heartbeat": "we send a heartbeat, unless something else goes out",
  "suspect": "it becomes suspect, if it stays silent",
  "down": "it counts as down, if it stays silent",
  "link-given-up": "the link is given up, if nothing is acknowledged",
  "budget-runs-out": "an attempt takes longer than learned; another peer may be asked",
  "deadline": "a request ends at its deadline",
};

/** Everything about one peer, on one screen. */
export function explainedPeerText(peer: ExplainedPeer): string {
  const { obstacles, policy, health, cooldown, work, counts, sites, next } = peer;
  const lines = [
    `${peer.name ?? "a peer without a name"}  ${peer.id}`,
    ...(obstacles.length === 0 ? ["is talked to: nothing stands in the way"] : obstacles.map((obstacle) => `${obstacle}: ${OBSTACLES[obstacle]}`)),
    "",
    line("policy", decisionText(policy)),
    ...policy.entries.filter((entry) => entry !== policy.entry && !isSame(entry, policy.entry)).map((entry) => line("", `also ${entryText(entry)}`)),
    line("link", linkText(peer.link)),
    ...peer.link.addresses.map(({ address, denied }) => line("", `${address}${denied ? "  (policy denies it)" : ""}`)),
    line("health", `${health.consecutiveFailures} failures in a row, down at ${health.threshold}${health.down ? "; it is down" : ""}` +
      (health.lastFailure === null ? "" : `; the last one ${timeText(health.lastFailure.atMs)}: ${FAILURES[health.lastFailure.event] ?? health.lastFailure.event}`)),
    line("silence", detectorText(peer.detector)),
    line("cooldown", cooldown === null ? "none" : cooldownText(cooldown)),
    line("in flight", `${work.queued} queued, ${work.sent} sent, ${work.accepted} accepted; ${work.unacknowledged} unacknowledged, window ${work.window}`),
    line("so far", `${counts.calls} calls, ${counts.replies} replies, ${counts.failures} failures, ${counts.downs} times down, ` +
      `${counts.refusedEnvelopes} refused, ${counts.redelivered} redelivered`),
  ];
  if (sites.length > 0) lines.push("", tableText(["asked", "may take", "because of", "weight", "round trip", "deviation", "samples"], sites.flatMap(siteRows)));
  if (next.length > 0) lines.push("", "If nothing else happens:", ...next.map(({ what, of, inMs }) => `  in ${shortText(inMs).padEnd(10)} ${EVENTS[what]}${of === null ? "" : ` (${of})`}`));
  return lines.join("\n");
}

/** Who is kept out and who is let in. */
export function policyText({ entries, allowlists }: PolicyReport): string {
  const everybody = allowlists.length === 0 ? "Everybody is let in who is not denied."
    : `Only those allowed are let in, by the allowlist of ${allowlists.map((list) => (list === "config" ? "the configuration" : "the operator")).join(" and by that of ")}.`;
  if (entries.length === 0) return `${everybody} There are no entries.`;
  const rows = entries.map(({ kind, who, name, by, reason, addedAtMs, untilMs }) => [kind, name ?? who, by, timeText(addedAtMs), timeText(untilMs), reason === "" ? "-" : reason]);
  return `${everybody}\n${tableText(["", "who", "by", "since", "until", "reason"], rows)}`;
}

function line(title: string, text: string): string {
  return `${title.padEnd(10)} ${text}`;
}

function decisionText({ decision, entry, address, allowlists }: ExplainedPeer["policy"]): string {
  if (decision === "not-allowlisted") return `denied: there is an allowlist (${allowlists.join(", ")}), and nothing on it is about this peer`;
  if (entry === null) return allowlists.length === 0 ? "allowed, as everybody" : "allowed";
  return `${decision === "allowed" ? "allowed" : "denied"} by ${entryText(entry)}${address === null ? "" : `, because of ${address}`}`;
}

function entryText({ kind, who: scope, name, by, reason, addedAtMs, untilMs }: PolicyEntryReport): string {
  const who = name ?? scope;
  const what = by === "config" ? `the configuration (${kind} ${who})` : `${by === "api" ? "the program" : "an operator"} (${kind} ${who}) at ${timeText(addedAtMs)}`;
  return `${what}, ${untilMs === "never" ? "for good" : `until ${timeText(untilMs)}`}${reason === "" ? "" : `: ${reason}`}`;
}

function isSame(a: PolicyEntryReport, b: PolicyEntryReport | null): boolean {
  return a.kind === b?.kind && a.who === b.who && a.by === b.by;
}

function linkText({ state, dialled, remote, openForMs, incarnation, kept }: ExplainedPeer["link"]): string {
  const from = remote === null ? "" : `, ${state === "none" || state === "dialling" ? "last " : ""}${remote}`;
  const since = openForMs === null ? "" : ` for ${shortText(openForMs)}, ${dialled === true ? "dialled by us" : "dialled by it"}`;
  return `${state}${since}${from}${incarnation === null ? "" : `, incarnation ${incarnation}`}${kept ? ", to be kept up" : ""}`;
}

function detectorText(detector: ExplainedPeer["detector"]): string {
  if (detector === null) return "not watched: it was never linked";
  const { announced, phi, suspectPhi, downPhi, samples, intervalMs, isIsolated, silenceMs } = detector;
  const silence = silenceMs === null ? "never heard" : `silent for ${shortText(silenceMs)}`;
  return `${announced}; ${silence}, φ ${phiText(phi)} (suspect at ${phiText(suspectPhi ?? Infinity)}, down at ${phiText(downPhi ?? Infinity)}), beats every ${msText(intervalMs)} (${Math.round(samples)} learned from)${isIsolated ? "; most peers are silent: verdicts wait" : ""}`;
}

function cooldownText({ attempts, failuresForMs, adviceForMs, lastAttemptAtMs }: NonNullable<ExplainedPeer["cooldown"]>): string {
  const parts = [
    ...(failuresForMs > 0 ? [`${shortText(failuresForMs)} more for its failures`] : []),
    ...(adviceForMs > 0 ? [`${shortText(adviceForMs)} more because it asked for it`] : []),
  ];
  return `${parts.length === 0 ? "over" : parts.join(", ")}; step ${attempts}${lastAttemptAtMs === null ? "" : `, last ${timeText(lastAttemptAtMs)}`}`;
}

/** One row for each estimate that has a say, and the site's own in any case. */
function siteRows({ site, budgetMs, tiers }: ExplainedPeer["sites"][number]): (string | number)[][] {
  const shown = tiers.filter(({ tier, weight }) => weight > 0 || tier === "site");
  return shown.map(({ tier, weight, srttMs, rttvarMs, samples }, at) => [
    at === 0 ? site : "", at === 0 ? msText(budgetMs) : "", tier, `${Math.round(weight * 100)} %`, samples === 0 ? "-" : msText(srttMs), samples === 0 ? "-" : msText(rttvarMs), samples,
  ]);
}

/** Seconds to a tenth below a minute, then two units. */
function shortText(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : spanText(ms);
}
