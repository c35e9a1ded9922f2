import { elapsedNs, type Due } from "../base/time.ts";
import type { BudgetTier } from "../peer/deadlines/rtt-tracker.ts";
import { LINK_SITE } from "../base/ids.ts";
import type { PeerEvent } from "../peer/failure/outcome.ts";
import type { PolicyEntry, PolicyExplanation } from "../peer/policy/peer-policy.ts";
import { policyScopeText } from "../peer/policy/peer-policy.ts";
import { contactAddresses, type EngineState } from "./engine-state.ts";
import type { Attempt } from "./command.ts";
import type { Peer, PeerCounts, SiteVerdict } from "./peer.ts";

/** What stands between us and a peer, the weightiest first. */
export type Obstacle =
  /** Policy denies it: nothing is sent and nothing taken. */
  | "denied"
  /** Its memory contradicts ours: no session until an operator decides. */
  | "history-lost"
  /** New requests wait until its cooldown is over. */
  | "cooling-down"
  /** There is no link, and no address at which it may be dialled: it has to dial us. */
  | "no-address"
  /** There is no link. */
  | "no-link"
  /** There is a link, and the peer has not said yet where it stands. */
  | "greeting"
  /** It takes no more requests for now. */
  | "window-full"
  /** It is believed down: others are asked first. */
  | "down";

/** Why something will happen at `at`, if nothing else happens before. */
export interface NextEvent {
  /** Engine time, ns. */
  readonly at: number;
  readonly what:
    | "cooldown-ends" | "advice-ends" | "entry-expires" | "redial" | "heartbeat" | "suspect" | "down" | "link-given-up" | "budget-runs-out" | "deadline";
  /** Of an entry its kind and scope, with the peer's name for its id; otherwise null. */
  readonly of: string | null;
}

/** How long answers take, as one estimate has it. `weight`: its share in the budget, 0 to 1; all of a site add up to 1. */
export interface TierExplanation {
  readonly tier: BudgetTier;
  readonly weight: number;
  readonly srttNs: number;
  readonly rttvarNs: number;
  readonly sampleCount: number;
}

/** Everything that decides whether and how a peer is spoken with. Plain data; instants are engine time, all in ns. */
export interface PeerExplanation {
  readonly id: string;
  readonly name: string | null;
  readonly now: number;
  /** Empty: requests go out at once. */
  readonly obstacles: readonly Obstacle[];
  readonly policy: PolicyExplanation;
  readonly link: {
    readonly state: "none" | "dialling" | "greeting" | "up";
    readonly dialled: boolean | null;
    /** Where the other end is, or was last. */
    readonly remote: string | null;
    readonly openForNs: number | null;
    readonly incarnation: number | null;
    /** Configuration wants a link at all times. */
    readonly kept: boolean;
    /** At which it can be dialled; `denied` by policy. */
    readonly addresses: readonly { readonly address: string; readonly denied: boolean }[];
  };
  /** The governor's view: failures in a row. */
  readonly health: {
    readonly consecutiveFailures: number;
    readonly threshold: number;
    readonly down: boolean;
    readonly lastEventAt: number | null;
    /** Null: none since this process started. */
    readonly lastFailure: { readonly event: PeerEvent; readonly at: number } | null;
  };
  /** The detector's view: silence. Null before there was a link. */
  readonly detector: {
    /** The verdict last announced, and what the silence says now. */
    readonly announced: SiteVerdict;
    readonly state: SiteVerdict;
    readonly phi: number;
    readonly suspectPhi: number;
    readonly downPhi: number;
    /** Arrivals learned from, and how often something is expected, in ns. */
    readonly samples: number;
    readonly intervalNs: number;
    /** Most peers are silent: it seems to be we who are cut off, and verdicts wait. */
    readonly isIsolated: boolean;
    /** Awake time since the last sign of life. */
    readonly silenceNs: number | null;
    /** What comes when, if the silence goes on. */
    readonly next: { readonly to: "suspect" | "down"; readonly at: number } | null;
  } | null;
  readonly sites: readonly { readonly site: string; readonly budgetNs: number; readonly tier: BudgetTier; readonly tiers: readonly TierExplanation[] }[];
  /** Null: it may be tried at any time. */
  readonly cooldown: {
    /** The step of the schedule. */
    readonly attempts: number;
    readonly lastAttemptAt: number;
    /** Until when failures, and the peer's own advice, keep new requests away; past or 0 = they do not. */
    readonly failureUntil: number;
    readonly advisedUntil: number;
  } | null;
  readonly work: {
    readonly queued: number;
    readonly sent: number;
    readonly accepted: number;
    /** Envelopes that it has not acknowledged, and how many it lets us send. */
    readonly unacknowledged: number;
    readonly window: number;
  };
  readonly counts: PeerCounts;
  /** In the order in which it comes. */
  readonly next: readonly NextEvent[];
}

/**
 * Answers everything about one peer at `now`, which may be later than the last turn; changes nothing. Scans policy and
 * commands: for people, not for hot paths.
 */
export function explainPeer(state: EngineState, peer: Peer, now = state.now): PeerExplanation {
  const { governor, backoff } = state;
  const awake = elapsedNs(now, state.pausedNs);
  const { link } = peer;
  const health = governor.peerHealth(peer.id);
  const cooldown = backoff.state(peer.id);
  const attempts = attemptsOn(state, peer);
  const policy = governor.policy.explain(peer.id, contactAddresses(peer));
  const inState = (wanted: Attempt["state"]): number => attempts.filter(({ attempt }) => attempt.state === wanted).length;
  const addresses = peer.addresses.map((address) => ({ address, denied: !governor.policy.checkAddress(peer.id, address).allow }));
  return {
    id: peer.id, name: peer.name, now, policy,
    obstacles: obstaclesOf(state, peer, { now, isDiallable: addresses.some(({ denied }) => !denied) }),
    link: {
      state: link === null ? (peer.dialing ? "dialling" : "none") : link.sendReady ? "up" : "greeting",
      dialled: link?.dialled ?? null, remote: link?.remote ?? peer.lastRemote, openForNs: link === null ? null : elapsedNs(awake, link.openedAt),
      incarnation: link?.sendReady === true ? link.incarnation : null, kept: peer.keepLink, addresses,
    },
    health: {
      consecutiveFailures: health?.consecutiveFailures ?? 0, threshold: governor.failureThreshold, down: governor.isDown(peer.id),
      lastEventAt: health?.lastEvent ?? null, lastFailure: peer.lastFailure,
    },
    detector: explainDetector(state, peer, awake),
    sites: explainSites(state, peer, awake),
    cooldown: cooldown === undefined ? null : {
      attempts: cooldown.attempts, lastAttemptAt: cooldown.lastAttempt, failureUntil: cooldown.nextRetry, advisedUntil: cooldown.advisedUntil,
    },
    work: {
      queued: inState("queued"), sent: inState("sent"), accepted: inState("accepted"),
      unacknowledged: peer.session.outbox.length, window: peer.session.peerWindow,
    },
    counts: { ...peer.counts },
    next: nextEvents(state, peer, { now, entries: policy.entries, attempts }),
  };
}

function obstaclesOf(state: EngineState, peer: Peer, { now, isDiallable }: { now: number; isDiallable: boolean }): Obstacle[] {
  const { link } = peer;
  const denied = !state.governor.checkInbound(peer.id).allow;
  const stands: readonly [Obstacle, boolean][] = [
    ["denied", denied],
    ["history-lost", peer.historyLost],
    ["cooling-down", state.backoff.retryAt(peer.id) > now],
    ["no-address", !denied && link === null && !isDiallable],
    ["no-link", !denied && link === null && isDiallable],
    ["greeting", link !== null && !link.sendReady],
    ["window-full", link !== null && !peer.session.admitsRequest],
    ["down", peer.siteVerdict === "down" || state.governor.isDown(peer.id)],
  ];
  return stands.filter(([, is]) => is).map(([obstacle]) => obstacle);
}

function explainDetector(state: EngineState, peer: Peer, awake: number): PeerExplanation["detector"] {
  const explained = state.tracker.watch.explain(peer.linkSite, awake);
  if (explained === undefined) return null;
  const { announced, phi, suspectPhi, downPhi, samples, intervalNs, isIsolated, lastSeenAt, next } = explained;
  return {
    announced, state: explained.state, phi, suspectPhi, downPhi, samples, intervalNs, isIsolated, silenceNs: lastSeenAt === 0 ? null : elapsedNs(awake, lastSeenAt),
    next: next === undefined || !isJudged(state, peer) ? null : { to: next.to, at: next.at + state.pausedNs },
  };
}

/** Silence is judged while a timer waits for the crossing: not that of a peer which policy keeps away. */
function isJudged(state: EngineState, peer: Peer): boolean {
  return state.governor.checkInbound(peer.id).allow;
}

function explainSites(state: EngineState, peer: Peer, awake: number): PeerExplanation["sites"] {
  const { perHopBudgetNs } = state.options;
  return [...new Set([LINK_SITE, ...peer.flowsAsked])].flatMap((asked) => {
    const explained = state.tracker.explain(peer.site(asked), perHopBudgetNs, { via: peer.linkSite, now: awake });
    if (explained === undefined) return [];
    const { tier, budgetNs, weights } = explained;
    const tiers = (Object.keys(weights) as BudgetTier[]).map((one): TierExplanation => ({ tier: one, ...weights[one] }));
    return [{ site: asked, budgetNs, tier, tiers: tiers.filter(({ weight }) => weight > 0) }];
  });
}

interface Asked {
  readonly attempt: Attempt;
  readonly budgetEndsAt: number | undefined;
  readonly due: Due;
}

function attemptsOn(state: EngineState, peer: Peer): Asked[] {
  if (peer.inFlight === 0) return [];
  const asked: Asked[] = [];
  for (const command of state.commands.values()) {
    for (const attempt of command.attempts) {
      if (attempt.peer === peer.id) asked.push({ attempt, budgetEndsAt: state.timers.find("attempt-budget", command)?.due, due: command.due });
    }
  }
  return asked;
}

function nextEvents(
  state: EngineState, peer: Peer, { now, entries, attempts }: { now: number; entries: readonly PolicyEntry[]; attempts: readonly Asked[] },
): NextEvent[] {
  const { timers } = state;
  const events: NextEvent[] = [];
  const add = (what: NextEvent["what"], at: Due | undefined, of: string | null = null): void => {
    if (at !== undefined && at !== "never" && at > now && at < Infinity) events.push({ at, what, of });
  };
  const cooldown = state.backoff.state(peer.id);
  add("cooldown-ends", cooldown?.nextRetry);
  add("advice-ends", cooldown?.advisedUntil);
  for (const entry of entries) add("entry-expires", entry.until, `${entry.kind} ${entry.on === "peer" ? (peer.name ?? peer.id) : policyScopeText(entry)}`);
  if (peer.link === null) add("redial", timers.find("dial", peer)?.due);
  else {
    add("heartbeat", timers.find("heartbeat", peer)?.due);
    const isWaiting = !peer.link.sendReady || peer.session.outbox.length > 0;
    if (isWaiting) add("link-given-up", timers.find("unacknowledged", peer)?.due);
  }
  const crossing = isJudged(state, peer) ? state.tracker.watch.nextCrossing(peer.linkSite) : undefined;
  if (crossing !== undefined) add(crossing.to, crossing.at + state.pausedNs);
  add("budget-runs-out", Math.min(...attempts.map(({ budgetEndsAt }) => budgetEndsAt ?? Infinity)));
  add("deadline", Math.min(...attempts.map(({ due }) => (due === "never" ? Infinity : due))));
  return events.sort((a, b) => a.at - b.at || (a.what < b.what ? -1 : 1));
}
