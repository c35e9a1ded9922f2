import { ENGINE_DEFAULTS } from "@holdfast/core";
import { SiteWatch, type SiteId, type SiteWatchOptions } from "@holdfast/core/peer";
import type { PeerTrace } from "../traces/trace.ts";
import type { Rule, Verdict } from "./rule.ts";

const { heartbeatNs, pauseMinNs } = ENGINE_DEFAULTS;
const SITE = "peer" as SiteId;

/** A question that was sent: its answer arrives then. */
interface Question {
  readonly answerAt: number;
  readonly askedAt: number;
}

/**
 * Ours as the engine runs it: core's SiteWatch with the product's options, on awake time; the engine's way of
 * recognising its own pause (engine.ts, #recognisePause): a poll that comes 200 ms or more after the one it had asked
 * for, which was at its next heartbeat, or when the verdict was due; and its questions to a peer that is late.
 *
 * A heartbeat says when it was sent and at what interval. Where the trace changes the interval, that is what two beats
 * tell by their stamps. `suspect` is announced and no more; `down` closes the link and asks others.
 */
export class Holdfast implements Rule {
  readonly #options: Partial<SiteWatchOptions>;
  #watch: SiteWatch;
  readonly #peer: Pick<PeerTrace, "answers" | "others">;
  /** Of each other peer, how many of its arrivals were told. */
  readonly #told: number[];
  #questions: Question[] = [];
  #pausedNs = 0;
  #lastBeat = 0;
  #lastSequence = 0;
  #lastSentAt = 0;
  #lastIntervalNs = heartbeatNs;
  /** Since when each verdict stands, Infinity = it does not. */
  #suspectSince = Infinity;
  #downSince = Infinity;
  #now = 0;
  /** Before it nothing happens by itself; −Infinity = to be reckoned. */
  #dueAt = -Infinity;

  constructor(peer: Pick<PeerTrace, "answers" | "others">, options: Partial<SiteWatchOptions> = {}) {
    this.#options = options;
    this.#watch = new SiteWatch(options);
    this.#peer = peer;
    this.#told = peer.others.map(() => 0);
  }

  beat(now: number, sequence: number, sentAt: number): void {
    this.#advance(now);
    if (sequence > this.#lastSequence) this.#lastIntervalNs = Math.round((sentAt - this.#lastSentAt) / (sequence - this.#lastSequence));
    this.#watch.recordHeartbeat(SITE, now - this.#pausedNs, { sentAt, intervalNs: this.#lastIntervalNs });
    this.#lastSequence = sequence;
    this.#lastSentAt = sentAt;
    this.#lastBeat = now;
    this.#judge(now);
    this.#dueAt = -Infinity;
  }

  pause(now: number, stoppedNs: number): void {
    const stoppedAt = now - stoppedNs;
    const lastTick = Math.floor(stoppedAt / heartbeatNs) * heartbeatNs;
    const polledAt = Math.max(lastTick, this.#lastBeat);
    const verdictAt = this.#nextAt();
    const expectedAt = Math.min(lastTick + heartbeatNs, verdictAt > polledAt ? verdictAt : Infinity);
    const lateNs = now - Math.max(polledAt, expectedAt);
    this.#now = now;
    this.#dueAt = -Infinity;
    if (lateNs < pauseMinNs) return;
    this.#pausedNs += lateNs + Math.min(Math.max(0, expectedAt - polledAt), pauseMinNs / 2);
  }

  /**
   * The site's row, as an orderly stop stores it (a kill leaves one up to 5 s older). The time in between counts as a
   * pause (engine.ts, restore), and the connection is another.
   */
  restart(now: number, stoppedNs: number): void {
    const stored = this.#watch.capture(SITE);
    this.#watch = new SiteWatch(this.#options);
    if (stored !== undefined) this.#watch.restore(SITE, stored);
    this.#watch.forgetOffset(SITE);
    this.#questions = [];
    this.#pausedNs += stoppedNs;
    this.#now = now;
    this.#dueAt = -Infinity;
  }

  suspectsAt(until: number, verdict: Verdict = "suspect"): number {
    this.#advance(until);
    return verdict === "down" ? this.#downSince : this.#suspectSince;
  }

  /** Lets everything happen that is due before the instant: questions, their answers, other peers' beats, verdicts. */
  #advance(until: number): void {
    while (this.#dueAt < until) {
      const awake = this.#now - this.#pausedNs;
      const verdictAt = this.#nextAt();
      const askAt = Math.max(this.#watch.nextAsk(SITE) ?? Infinity, awake + 1) + this.#pausedNs;
      const answer = this.#questions.length === 0 ? undefined : this.#questions.reduce((first, one) => (one.answerAt < first.answerAt ? one : first));
      const otherAt = this.#told.length === 0 ? Infinity : this.#nextOther();
      const at = Math.min(verdictAt, askAt, answer?.answerAt ?? Infinity, otherAt);
      if (!(at < until)) {
        this.#dueAt = at;
        break;
      }
      this.#now = at;
      if (at === answer?.answerAt) this.#hear(answer);
      else if (at === otherAt) this.#tellOther();
      else if (at === askAt) this.#ask(at);
      this.#judge(at);
    }
    if (until < Infinity) this.#now = Math.max(this.#now, until);
  }

  #ask(at: number): void {
    this.#watch.recordAsked(SITE, at - this.#pausedNs);
    const answerAt = this.#peer.answers(at);
    if (answerAt < Infinity) this.#questions.push({ answerAt, askedAt: at });
  }

  #hear(question: Question): void {
    this.#questions = this.#questions.filter((one) => one !== question);
    this.#watch.recordAnswer(SITE, this.#now - this.#pausedNs, question.askedAt - this.#pausedNs);
  }

  #nextOther(): number {
    return this.#peer.others.reduce((least, arrivals, which) => Math.min(least, arrivals[this.#told[which] as number] ?? Infinity), Infinity);
  }

  #tellOther(): void {
    this.#peer.others.forEach((arrivals, which) => {
      while ((arrivals[this.#told[which] as number] ?? NaN) === this.#now) {
        this.#watch.recordLife(`other ${which}` as SiteId, this.#now - this.#pausedNs);
        this.#told[which]!++;
      }
      while (arrivals[this.#told[which] as number] === Infinity) this.#told[which]!++;
    });
  }

  #judge(now: number): void {
    this.#watch.judge(SITE, now - this.#pausedNs);
    const state = this.#watch.siteState(SITE);
    this.#suspectSince = state === "live" ? Infinity : Math.min(this.#suspectSince, now);
    this.#downSince = state === "down" ? Math.min(this.#downSince, now) : Infinity;
  }

  #nextAt(): number {
    return (this.#watch.nextCrossing(SITE)?.at ?? Infinity) + this.#pausedNs;
  }
}
