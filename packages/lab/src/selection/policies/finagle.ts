import type { Random } from "@holdfast/core";
import { drawTwo } from "./least-loaded.ts";
import type { Policy, PolicyEntry } from "./policy.ts";

const DECAY_NS = 10e9;
/** The cost of a server that has never answered and is asked already: beyond every measured one. */
const PENALTY = 1e18;

/**
 * Peak-EWMA as Finagle and Linkerd publish it: the estimate jumps to a slower sample, is drawn down by a quicker one, and
 * fades towards 0 with time; the cost is the estimate times the requests in flight and one. Of two servers drawn the
 * cheaper one is asked. It learns from answers only, and from errors as from successes.
 */
class FinagleEwma implements Policy {
  readonly #random: Random;
  readonly #costNs: Float64Array;
  readonly #at: Float64Array;
  readonly #pending: number[];

  constructor(servers: number, random: Random) {
    this.#random = random;
    this.#costNs = new Float64Array(servers);
    this.#at = new Float64Array(servers);
    this.#pending = Array(servers).fill(0);
  }

  pick(members: readonly number[], now: number): number {
    const [one, other] = drawTwo(members, this.#random);
    return this.#load(other, now) < this.#load(one, now) ? other : one;
  }

  began(server: number): void {
    this.#pending[server]!++;
  }

  ended(server: number, _end: unknown, latencyNs: number, now: number): void {
    this.#pending[server]!--;
    this.#observe(server, latencyNs, now);
  }

  #load(server: number, now: number): number {
    this.#observe(server, 0, now);
    const cost = this.#costNs[server] as number;
    const pending = this.#pending[server] as number;
    return cost === 0 && pending > 0 ? PENALTY + pending : cost * (pending + 1);
  }

  #observe(server: number, latencyNs: number, now: number): void {
    const cost = this.#costNs[server] as number;
    const left = Math.exp(-(now - (this.#at[server] as number)) / DECAY_NS);
    this.#at[server] = now;
    this.#costNs[server] = latencyNs > cost ? latencyNs : cost * left + latencyNs * (1 - left);
  }
}

export const FINAGLE: PolicyEntry = {
  name: "peak-EWMA", settings: "Finagle's and Linkerd's: decay 10 s, towards 0, two drawn", begin: (servers, random) => new FinagleEwma(servers, random),
};
