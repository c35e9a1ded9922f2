import { Random } from "@holdfast/core";
import { RetryBudget } from "@holdfast/core/peer";
import { POLICIES, type Client } from "./policies.ts";

const LAYERS = 3;
const RATE = 100;
const WARM_S = 30;
const FAILING_S = 60;
const ATTEMPTS_MAX = 4;

export interface LayerFigures {
  readonly policy: string;
  readonly isOurs: boolean;
  /** Attempts that reach the last service ÷ requests offered to the first, while everything fails. */
  readonly load: number;
}

/**
 * Three services in a row, each calling the next, the last of which fails for a minute. Each has several peers to turn to,
 * so a retry goes out at once, and nothing but budgets stands in between: back-off delays are left out for all rules. One
 * request follows the other, so a budget that counts what is under way at a time has nothing to count here: it is left out.
 */
export function runLayers(seed: string): LayerFigures[] {
  return POLICIES.filter(({ name }) => name !== "no retry" && name !== "Envoy budget").map((policy) => {
    const random = Random.fromSeed(`${seed} layers ${policy.name}`);
    const isOurs = policy.isOurs === true;
    const layers = Array.from({ length: LAYERS }, () => (isOurs ? new Budgeted() : policy.begin(random)));
    let [reached, request] = [0, 0];
    const ask = (layer: number, now: number, fails: boolean): boolean => {
      if (layer === LAYERS) {
        reached++;
        return !fails;
      }
      const client = layers[layer] as Client;
      const id = request++;
      let ok = false;
      for (let attempts = 1; !ok; attempts++) {
        client.sent(now, id);
        ok = ask(layer + 1, now, fails);
        if (ok) client.succeeded(now, id);
        else client.failed(now, id);
        if (ok || attempts >= ATTEMPTS_MAX || client.retryIn(attempts, 0, now) === undefined) break;
      }
      client.ended(id);
      return ok;
    };
    const during = (from: number, seconds: number, fails: boolean): number => {
      reached = 0;
      for (let n = 0; n < seconds * RATE; n++) ask(0, Math.floor((from + n / RATE) * 1e9) + 1, fails);
      return reached;
    };
    during(0, WARM_S, false);
    return { policy: policy.name, isOurs, load: during(WARM_S, FAILING_S, true) / (FAILING_S * RATE) };
  });
}

/** The budget as it ships, by itself. */
class Budgeted implements Client {
  readonly #budget = new RetryBudget();
  readyAt(now: number): number {
    return now;
  }
  sent(): void {}
  succeeded(now: number): void {
    this.#budget.recordSuccess(now);
  }
  failed(): void {}
  ended(): void {}
  retryIn(_attempts: number, _last: number, now: number): number | undefined {
    return this.#budget.take(now) ? 0 : undefined;
  }
}
