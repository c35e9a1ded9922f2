import { NEIGHBOURS, PERIOD_NS, type PeerTrace } from "../traces/trace.ts";
import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";

const { periodNs, suspicionMult, suspicionMaxMult, members, scoreMax, missedNacks } = SETTINGS.swim;

const SHORTEST_NS = suspicionMult * Math.max(1, Math.log10(members)) * periodNs;
const LONGEST_NS = suspicionMaxMult * SHORTEST_NS;
/** Confirmations that bring the timeout down to its minimum. */
const CONFIRMATIONS = suspicionMult - 2;

interface State {
  /** The first period without a verdict, and when the one before it had its own. */
  period: number;
  judgedAt: number;
  score: number;
  suspectedAt: number;
  confirmations: number;
  deadAt: number;
}

/**
 * SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018), after memberlist's LAN
 * settings: a probe a period, three relays and a TCP fallback if it stays unanswered, suspicion of 4 · max(1, log10 N)
 * periods, six times that until two others confirm, a health score 0 … 7 that stretches the probe. Dead is what counts
 * here; suspicion alone is refutable and acted on by nobody.
 *
 * A model, on a trace of beats: beat k is the answer to the probe of period k, by whichever of 8 members had its turn
 * (a round robin probes a peer about once a period); what relays and others see comes with the trace. The way out is
 * not lossy, which flatters it. A probe that waits while the observer stands still fails; an answer that comes after
 * its period ended is ignored, as memberlist ignores an acknowledgement whose handler expired.
 */
export class Swim implements Rule {
  readonly #peer: Pick<PeerTrace, "beginsAt" | "neighbours">;
  #state: State = { period: 0, judgedAt: 0, score: 0, suspectedAt: Infinity, confirmations: 0, deadAt: Infinity };

  constructor(peer: Pick<PeerTrace, "beginsAt" | "neighbours">) {
    this.#peer = peer;
  }

  beat(now: number, sequence: number): void {
    const state = this.#state;
    this.#advance(state, now);
    if (sequence < state.period) return; // its probe was given up
    state.period = sequence + 1;
    state.judgedAt = now;
    answered(state);
  }

  pause(now: number, pausedNs: number): void {
    const state = this.#state;
    const from = now - pausedNs;
    this.#advance(state, from);
    if (this.#verdictAt(state) <= now) this.#fail(state, now);
    // What would have been probed meanwhile was not.
    state.period = Math.max(state.period, Math.ceil((now - this.#peer.beginsAt) / PERIOD_NS));
    if (state.deadAt === Infinity && timeoutAt(state) <= now) state.deadAt = now; // its timer was due
  }

  suspectsAt(until: number): number {
    if (this.#state.deadAt !== Infinity) return this.#state.deadAt;
    const ahead = { ...this.#state };
    this.#advance(ahead, until, { stopsDead: true });
    return Math.min(ahead.deadAt, timeoutAt(ahead));
  }

  /** Judges every period whose verdict is due before the instant. */
  #advance(state: State, until: number, { stopsDead = false } = {}): void {
    for (let at = this.#verdictAt(state); at < until; at = this.#verdictAt(state)) {
      const dueAt = timeoutAt(state);
      if (state.deadAt === Infinity && dueAt <= at) state.deadAt = dueAt;
      const isPast = state.period >= this.#peer.neighbours.length;
      if ((isPast || stopsDead) && state.deadAt !== Infinity) return;
      const seen = isPast ? NEIGHBOURS.confirmed : (this.#peer.neighbours[state.period] as number);
      if ((seen & NEIGHBOURS.relayed) !== 0) {
        state.period++;
        state.judgedAt = at;
        answered(state);
      } else {
        this.#fail(state, at);
      }
    }
    const dueAt = timeoutAt(state);
    if (state.deadAt === Infinity && dueAt < until) state.deadAt = dueAt;
  }

  #fail(state: State, at: number): void {
    const seen = this.#peer.neighbours[state.period] ?? NEIGHBOURS.confirmed;
    // Relays that answer "neither could I" show that we are well; without them the fault may be ours.
    if ((seen & NEIGHBOURS.silent) !== 0) state.score = Math.min(scoreMax, state.score + missedNacks);
    if (state.suspectedAt === Infinity) state.suspectedAt = at;
    else if ((seen & NEIGHBOURS.confirmed) !== 0) state.confirmations = Math.min(CONFIRMATIONS, state.confirmations + 1);
    state.period++;
    state.judgedAt = at;
  }

  #verdictAt({ period, score, judgedAt }: State): number {
    return Math.max(judgedAt, this.#peer.beginsAt + period * PERIOD_NS + periodNs * (score + 1));
  }
}

function answered(state: State): void {
  state.score = Math.max(0, state.score - 1);
  state.suspectedAt = state.deadAt = Infinity;
  state.confirmations = 0;
}

function timeoutAt({ suspectedAt, confirmations }: State): number {
  return suspectedAt + suspicionNs(confirmations);
}

/** memberlist's remainingSuspicionTime: from the longest to the shortest timeout along a logarithm. */
export function suspicionNs(confirmations: number): number {
  const share = Math.log(confirmations + 1) / Math.log(CONFIRMATIONS + 1);
  return Math.max(SHORTEST_NS, Math.floor((LONGEST_NS - share * (LONGEST_NS - SHORTEST_NS)) / 1e6) * 1e6);
}
