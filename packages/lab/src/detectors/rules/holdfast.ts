import { ENGINE_DEFAULTS } from "@holdfast/core";
import { SiteWatch, type SiteId } from "@holdfast/core/peer";
import type { PeerTrace } from "../traces/trace.ts";
import type { Rule } from "./rule.ts";

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
  readonly #watch = new SiteWatch();
  readonly #verdict: "suspect" | "down";
  readonly #peer: Pick<PeerTrace, "answers" | "others">;
  /** Of each other peer, how many of its arrivals were told. */
  readonly #told: number[];
  #questions: Question[] = [];
  #pausedNs = 0;
  #lastBeat = 0;
  #lastSequence = 0;
  #lastSentAt = 0;
  #lastIntervalNs = heartbeatNs;
  /** Since when the verdict stands, Infinity = it does not. */
  #since = Infinity;
  #now = 0;

  constructor(verdict: "suspect" | "down", peer: Pick<PeerTrace, "answers" | "others">) {
    this.#verdict = verdict;
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
  }

  pause(now: number, stoppedNs: number): void {
    const stoppedAt = now - stoppedNs;
    const lastTick = Math.floor(stoppedAt / heartbeatNs) * heartbeatNs;
    const polledAt = Math.max(lastTick, this.#lastBeat);
    const verdictAt = this.#nextAt();
    const expectedAt = Math.min(lastTick + heartbeatNs, verdictAt > polledAt ? verdictAt : Infinity);
    const lateNs = now - Math.max(polledAt, expectedAt);
    this.#now = now;
    if (lateNs < pauseMinNs) return;
    this.#pausedNs += lateNs + Math.min(Math.max(0, expectedAt - polledAt), pauseMinNs / 2);
  }

  suspectsAt(until: number): number {
    this.#advance(until);
    return this.#since;
  }

  /** Lets everything happen that is due before the instant: questions, their answers, other peers' beats, verdicts. */
  #advance(until: number): void {
    for (;;) {
      const awake = this.#now - this.#pausedNs;
      const verdictAt = this.#nextAt();
      const askAt = Math.max(this.#watch.nextAsk(SITE) ?? Infinity, awake + 1) + this.#pausedNs;
      const answer = this.#questions.reduce<Question | undefined>((first, one) => (first === undefined || one.answerAt < first.answerAt ? one : first), undefined);
      const otherAt = this.#nextOther();
      const at = Math.min(verdictAt, askAt, answer?.answerAt ?? Infinity, otherAt);
      if (!(at < until)) break;
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
    const stands = state === "down" || (state === "suspect" && this.#verdict === "suspect");
    if (!stands) this.#since = Infinity;
    else if (this.#since === Infinity) this.#since = now;
  }

  #nextAt(): number {
    return (this.#watch.nextCrossing(SITE)?.at ?? Infinity) + this.#pausedNs;
  }
}
