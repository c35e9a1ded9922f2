/** What a call costs in ns that succeeds, and one that is refused: one process for each case, several times, in shuffled order. */
import { dice, figure, median, shuffled } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import { REFUSALS, SUCCESSES } from "./call-cases.ts";
import type { CallParameters, CallTiming } from "./call-timer.ts";
import type { Children } from "./children.ts";

type Label = `success: ${keyof typeof SUCCESSES}` | `refusal: ${keyof typeof REFUSALS}`;

/** By case, in ns. */
const TARGETS: Partial<Readonly<Record<Label, number>>> = {
  "success: peers.run, no deadline": 300, "success: peers.run, learned deadline": 1000, "refusal: peers.run": 1000,
};
const SHUFFLE_SEED = 6;

export async function measureCalls({ quick }: BenchOptions, children: Children): Promise<readonly Figure[]> {
  const pace = quick ? { roundMs: 10, rounds: 7 } : { roundMs: 30, rounds: 9 };
  const cases: readonly CallParameters[] = [
    ...namesOf(SUCCESSES).map((name) => ({ kind: "success", name, ...pace }) as const),
    ...namesOf(REFUSALS).map((name) => ({ kind: "refusal", name, ...pace }) as const),
  ];
  const random = dice(SHUFFLE_SEED);
  const timings = new Map<CallParameters, CallTiming[]>(cases.map((one) => [one, []]));
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    for (const one of shuffled(cases, random)) timings.get(one)?.push(await children.result<CallTiming>("call-timer.ts", one));
  }
  return [...timings].map(([{ kind, name }, samples]) => {
    const label = `${kind}: ${name}` as Label;
    const [value, target] = [median(samples.map(({ ns }) => ns)), TARGETS[label]];
    return figure({
      figure: label, value, unit: "ns", comparison: kind === "success" ? "a bare async function" : "one that throws an error it has",
      other: median(samples.map(({ bareNs }) => bareNs)), target: target === undefined ? "none" : `≤ ${target} ns`, met: target === undefined || value <= target,
    });
  });
}

function namesOf<Name extends string>(cases: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(cases) as Name[];
}
