import { NS_PER_S } from "@holdfast/core";
import type { StoredChoices } from "../choice/choice-log.ts";
import { type Plan, TAME } from "../plan/plan.ts";
import type { Trouble } from "../plan/trouble.ts";
import { nodeName } from "../workload/flows.ts";
import { type Case, runCase } from "./case.ts";
import { reduce, reduceNumber } from "./reduce.ts";

/** With fewer there is nobody to talk to. */
const NODES_MIN = 2;
/** Single choices are made smaller only when so few are left. */
const CHOICES_TUNED_MAX = 60;

export interface ShrinkOptions {
  /** It ends with what it has by then. */
  readonly budgetMs: number;
  readonly progress?: (text: string) => void;
}

/**
 * Makes a failing case smaller, as long as the same rule is violated in the same words, numbers aside: kinds of fault first,
 * then nodes, requests, single faults, and last the delays, again and again until nothing more can go.
 *
 * Source of the order: large parts first, so that the runs that follow are short.
 */
export class Shrinker {
  #case: Case;
  readonly #failure: string;
  readonly #until: number;
  readonly #progress: (text: string) => void;
  /** Runs it took so far. */
  runs = 0;

  constructor(failing: Case, { budgetMs, progress = () => {} }: ShrinkOptions) {
    this.#case = failing;
    this.#failure = fingerprint(failing);
    this.#until = performance.now() + budgetMs;
    this.#progress = progress;
  }

  /** The smallest case it found in time. */
  shrink(): Case {
    for (let before = ""; before !== JSON.stringify(this.#case) && !this.#isOver(); ) {
      before = JSON.stringify(this.#case);
      this.#dropWhatComesAfter();
      this.#dropKinds();
      this.#dropNodes();
      this.#dropRequests();
      this.#dropTroubles();
      this.#tameChoices();
    }
    return this.#case;
  }

  // ── steps ──

  /** Nothing that was planned for later than the violation has a part in it. */
  #dropWhatComesAfter(): void {
    const { plan, choices, mutant } = this.#case;
    const { virtualNs } = runCase({ plan, choices, mutant }).run;
    const isBefore = ({ atNs }: { atNs: number }): boolean => atNs <= virtualNs;
    this.#tryPlan({ requests: plan.requests.filter(isBefore), troubles: plan.troubles.filter(isBefore) });
    // Chaos lasts at least until the last of it.
    const last = Math.max(0, ...[...this.#case.plan.requests, ...this.#case.plan.troubles].map(({ atNs }) => atNs));
    reduceNumber(Math.ceil((plan.chaosNs - last) / NS_PER_S), (seconds) => this.#tryPlan({ chaosNs: last + seconds * NS_PER_S }));
  }

  #dropKinds(): void {
    const { conditions, troubles } = this.#case.plan;
    reduce(conditions, (kept) => this.#tryPlan({ conditions: kept }));
    reduce([...new Set(troubles.map(({ kind }) => kind))], (kept) => this.#tryPlan({ troubles: this.#case.plan.troubles.filter(({ kind }) => kept.includes(kind)) }));
    for (const [what, tame] of Object.entries(TAME)) if (JSON.stringify(this.#case.plan[what as keyof Plan]) !== JSON.stringify(tame)) this.#tryPlan({ [what]: tame });
    this.#told("kinds of fault");
  }

  #dropNodes(): void {
    for (let at = this.#case.plan.nodes - 1; at >= 0 && this.#case.plan.nodes > NODES_MIN; at--) this.#try(withoutNode(this.#case, at));
    this.#told("nodes");
  }

  #dropRequests(): void {
    reduce(this.#case.plan.requests, (requests) => this.#tryPlan({ requests }));
    this.#told("requests");
  }

  #dropTroubles(): void {
    reduce(this.#case.plan.troubles, (troubles) => this.#tryPlan({ troubles }));
    this.#told("single faults");
  }

  #tameChoices(): void {
    reduce(Object.keys(this.#case.choices), (places) => this.#tryChoices(Object.entries(this.#case.choices).filter(([place]) => places.includes(place))));
    for (const place of Object.keys(this.#case.choices)) {
      reduce(Object.entries(this.#case.choices[place] ?? {}), (turns) => this.#tryPlace(place, Object.fromEntries(turns)));
    }
    this.#told("choices");
    if (Object.values(this.#case.choices).reduce((sum, turns) => sum + Object.keys(turns).length, 0) > CHOICES_TUNED_MAX) return;
    for (const [place, turns] of Object.entries(this.#case.choices)) {
      for (const [turn, value] of Object.entries(turns)) reduceNumber(value, (smaller) => this.#tryPlace(place, { ...this.#case.choices[place], [turn]: smaller }));
    }
    this.#told("delays");
  }

  // ── attempts ──

  #tryPlan(change: Partial<Plan>): boolean {
    return this.#try({ ...this.#case, plan: { ...this.#case.plan, ...change } });
  }

  #tryChoices(choices: readonly (readonly [string, StoredChoices[string]])[]): boolean {
    return this.#try({ ...this.#case, choices: Object.fromEntries(choices) });
  }

  #tryPlace(place: string, turns: StoredChoices[string]): boolean {
    return this.#try({ ...this.#case, choices: { ...this.#case.choices, [place]: turns } });
  }

  /** Takes a smaller case that fails in the same way. Past the budget none is taken. */
  #try(smaller: Case): boolean {
    if (this.#isOver()) return false;
    this.runs++;
    const { case: result } = runCase(smaller);
    if (fingerprint(result) !== this.#failure) return false;
    this.#case = result;
    return true;
  }

  #isOver(): boolean {
    return performance.now() > this.#until;
  }

  #told(step: string): void {
    const { plan, choices } = this.#case;
    const chosen = Object.values(choices).reduce((sum, turns) => sum + Object.keys(turns).length, 0);
    this.#progress(`${step}: ${plan.nodes} nodes, ${plan.requests.length} requests, ${plan.conditions.length + plan.troubles.length} faults, ${chosen} choices (${this.runs} runs)`);
  }
}

/** A violation without its numbers and names. */
function fingerprint({ violation }: Case): string {
  return violation === null ? "" : `${violation.rule}: ${violation.message.replaceAll(/[0-9a-f]{8,}|\d+/g, "#")}`;
}

/** The fleet without that node: those behind it move up, in whatever names them. */
function withoutNode({ plan, choices, ...rest }: Case, gone: number): Case {
  const moved = (at: number): number => (at > gone ? at - 1 : at);
  const troubles = plan.troubles.flatMap((trouble): Trouble[] => {
    if (trouble.kind === "partition") {
      const ways = trouble.ways.filter((way) => !way.includes(gone)).map(([from, to]) => [moved(from), moved(to)] as const);
      return [{ ...trouble, ways }];
    }
    return trouble.machine === gone ? [] : [{ ...trouble, machine: moved(trouble.machine) }];
  });
  const requests = plan.requests.filter(({ at }) => at !== gone).map((request) => ({ ...request, at: moved(request.at) }));
  const places = Object.entries(choices).flatMap(([place, turns]) => {
    const [part, ...what] = place.split("/") as [string, ...string[]];
    const at = /^n(\d+)$/.exec(part)?.[1];
    if (at === undefined) return [[place, turns] as const];
    return Number(at) === gone ? [] : [[[nodeName(moved(Number(at))), ...what].join("/"), turns] as const];
  });
  const core = plan.core?.filter((at) => at !== gone).map(moved) ?? null;
  return { ...rest, plan: { ...plan, core, nodes: plan.nodes - 1, troubles, requests }, choices: Object.fromEntries(places) };
}
