import { ENGINE_DEFAULTS } from "@holdfast/core";
import { attemptBudgetNs, type ChainId, REFERENCE_RTT, RttTracker } from "@holdfast/core/peer";
import type { Answer, Rule } from "./rule.ts";

const { budgetFloorNs, budgetCeilingNs, perHopBudgetNs } = ENGINE_DEFAULTS;
const CHAIN = { chainId: "00000000000000aa" as ChainId, hopIndex: 0 };

/**
 * Ours as the engine runs it: core's RttTracker with the options that engine/engine-state.ts gives it, told what
 * engine/requests.ts tells it. A further attempt has twice its forerunner's budget, or what was learned meanwhile.
 */
export class Holdfast implements Rule {
  #tracker = made();

  deadlineNs(site: number, now: number, retries: number, lastNs: number): number {
    const learned = this.#tracker.estimateBudget(nameOf(site), CHAIN, perHopBudgetNs, { now });
    return retries === 0 ? learned : Math.max(learned, attemptBudgetNs(lastNs, 1, budgetCeilingNs));
  }

  timedOut(site: number, now: number, sentAt: number): void {
    this.#tracker.observeTimeout(nameOf(site), sentAt, now);
  }

  answered({ now, site, tripNs, isLate, givenUpNs }: Answer): void {
    const name = nameOf(site);
    if (isLate) this.#tracker.observeLateReply(name);
    for (const ns of givenUpNs) this.#tracker.observeCensored(name, CHAIN, ns);
    this.#tracker.observeRoundTrip(name, CHAIN, tripNs, now);
  }

  restarted(asleepNs: number): void {
    const restored = made();
    restored.restorePriors(this.#tracker.capturePriors());
    for (const site of this.#tracker.trackedSites()) {
      const data = this.#tracker.captureSite(site);
      if (data !== undefined) restored.restoreSite(site, data);
    }
    restored.discount(asleepNs);
    this.#tracker = restored;
  }
}

/** What ours was before it was more: the first tier with three samples, mean + 4 × deviation, doubled by each attempt. */
export class Reference implements Rule {
  readonly #tracker = new RttTracker<string>({ ...REFERENCE_RTT, roundTripsAreHeartbeats: false });

  deadlineNs(site: number, _now: number, retries: number): number {
    return attemptBudgetNs(this.#tracker.estimateBudget(nameOf(site), CHAIN, perHopBudgetNs), retries, budgetCeilingNs);
  }

  timedOut(): void {}

  answered({ now, site, tripNs }: Answer): void {
    this.#tracker.observeRoundTrip(nameOf(site), CHAIN, tripNs, now);
  }
}

function made(): RttTracker<string> {
  return new RttTracker<string>({ budgetFloorNs, budgetCeilingNs });
}

const NAMES = ["a", "b", "c", "d"] as const;

function nameOf(site: number): string {
  return NAMES[site] ?? String(site);
}
