import type { Random } from "@holdfast/core";
import type { Policy, PolicyEntry } from "./policy.ts";

/** Of two servers drawn at random the one with fewer requests in flight. Source: Mitzenmacher (1996). */
class LeastLoaded implements Policy {
  readonly #random: Random;
  readonly #inFlight: number[];

  constructor(servers: number, random: Random) {
    this.#random = random;
    this.#inFlight = Array(servers).fill(0);
  }

  pick(members: readonly number[]): number {
    const [one, other] = drawTwo(members, this.#random);
    return (this.#inFlight[other] as number) < (this.#inFlight[one] as number) ? other : one;
  }

  began(server: number): void {
    this.#inFlight[server]!++;
  }

  ended(server: number): void {
    this.#inFlight[server]!--;
  }
}

export const LEAST_LOADED: PolicyEntry = {
  name: "least loaded of two", settings: "two drawn, fewer in flight", begin: (servers, random) => new LeastLoaded(servers, random),
};

/** Two different members, or one twice where there is no other. */
export function drawTwo(members: readonly number[], random: Random): [number, number] {
  const first = random.below(members.length);
  const step = members.length === 1 ? 0 : 1 + random.below(members.length - 1);
  return [members[first] as number, members[(first + step) % members.length] as number];
}
