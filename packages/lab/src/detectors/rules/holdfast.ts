import { ENGINE_DEFAULTS } from "@holdfast/core";
import { RttTracker, type SiteId } from "@holdfast/core/peer";
import type { Rule } from "./rule.ts";

const { heartbeatNs, suspectPhi, downPhi, detectorWindow, pauseMinNs } = ENGINE_DEFAULTS;
const SITE = "peer" as SiteId;

/**
 * Ours as the engine runs it: core's RttTracker with the options that engine/engine-state.ts gives it, on awake time,
 * and the engine's way of recognising its own pause (engine.ts, #recognisePause): a poll that comes 200 ms or more
 * after the one it had asked for. It had asked for one at its next heartbeat, or when the verdict was due.
 *
 * `suspect` is announced and no more; `down` closes the link and asks others for what the peer was asked.
 */
export class Holdfast implements Rule {
  readonly #tracker: RttTracker;
  #pausedNs = 0;
  #lastBeat = 0;
  /** When the verdict comes, in awake time: changes with a beat only. */
  #crossing = Infinity;

  constructor(verdict: "suspect" | "down") {
    // With equal thresholds the tracker's next crossing is `down`; what it learns does not depend on `suspectPhi`.
    const watchedPhi = verdict === "down" ? downPhi : suspectPhi;
    this.#tracker = new RttTracker({
      detector: { suspectPhi: watchedPhi, downPhi, historyCapacity: detectorWindow, expectedIntervalNs: heartbeatNs },
    });
  }

  beat(now: number): void {
    this.#tracker.recordHeartbeat(SITE, now - this.#pausedNs);
    this.#lastBeat = now;
    this.#crossing = this.#tracker.nextCrossing(SITE)?.at ?? Infinity;
  }

  pause(now: number, stoppedNs: number): void {
    const stoppedAt = now - stoppedNs;
    const lastTick = Math.floor(stoppedAt / heartbeatNs) * heartbeatNs;
    const polledAt = Math.max(lastTick, this.#lastBeat);
    const verdictAt = this.suspectsAt();
    const expectedAt = Math.min(lastTick + heartbeatNs, verdictAt > polledAt ? verdictAt : Infinity);
    const lateNs = now - Math.max(polledAt, expectedAt);
    if (lateNs < pauseMinNs) return;
    this.#pausedNs += lateNs + Math.min(Math.max(0, expectedAt - polledAt), pauseMinNs / 2);
  }

  suspectsAt(): number {
    return this.#crossing + this.#pausedNs;
  }
}
