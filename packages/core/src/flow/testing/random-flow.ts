import fc from "fast-check";
import * as v from "valibot";
import { flow } from "../flow.ts";
import { host, pure } from "../functions.ts";
import type { AnyFlow } from "../flow.ts";
import type { FlowBuilder } from "../flow-builder.ts";
import type { Port } from "../port.ts";
import type { Selection } from "../program.ts";

export const length = pure("length", {}, (text: string) => text.length);
export const add = pure("add", {}, (a: number, b: number) => a + b);
export const entries = pure("entries", {}, ({ text }: { readonly text: string }): [string, number][] => [[text, 1]]);
export const count = pure("count", {}, (cell: number | null, delta: number) => (cell ?? 0) + delta);
export const shout = host("shout", { input: v.string(), deadlineMs: 2_000 }, async (text) => `${text}!`);

export const greet = flow("greet", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 5_000 },
  (b, { name }) => ({ text: b.host(shout, name) }));

/** Calls `greet` and lives with its failure. */
export const relay = flow("relay", { input: { name: v.string(), times: v.number() }, output: { text: v.string() }, deadlineMs: 9_000 },
  (b, { name }) => {
    const { text } = b.call(greet, b.select("workers"), { name });
    return { text: b.race(text, b.pure(pure("message", {}, (failure: { message: string }) => failure.message), b.failure(text))) };
  });

/** The ports so far, by type; each starts with one. */
interface Pools {
  readonly texts: Port<string>[];
  readonly numbers: Port<number>[];
  readonly lists: Port<string[]>[];
  readonly selections: Port<Selection>[];
}

interface Step {
  readonly does: number;
  readonly a: number;
  readonly b: number;
  readonly flag: boolean;
}

const STEPS: readonly ((b: FlowBuilder, pools: Pools, step: Step) => void)[] = [
  (b, { numbers }, { a }) => numbers.push(b.constant(a)),
  (b, { texts }, { a }) => texts.push(b.constant(`t${a}`)),
  (b, { lists }, { a }) => lists.push(b.constant([`l${a}`])),
  (b, { texts, numbers }, { a }) => numbers.push(b.pure(length, pick(texts, a))),
  (b, { numbers }, { a, b: c }) => numbers.push(b.pure(add, pick(numbers, a), pick(numbers, c))),
  (b, { texts }, { a }) => texts.push(b.host(shout, pick(texts, a), { deadlineMs: a % 2 === 0 ? "never" : a * 1000 })),
  (b, { selections }, { a }) => selections.push(b.select(`group-${a}`)),
  (b, { selections }, { a }) => selections.push(b.peer(`peer-${a}`)),
  (b, { selections, texts }, { a, b: c }) => void b.send(greet, pick(selections, a), { name: pick(texts, c) }),
  (b, { selections, texts }, { a, b: c, flag }) => {
    const { text } = b.call(greet, pick(selections, a), { name: pick(texts, c) }, { retry: { attempts: 1 + a } });
    texts.push(text);
    if (flag) b.output("failed", b.failure(text));
  },
  (b, { selections, texts, numbers }, { a, b: c }) => {
    texts.push(b.call(relay, pick(selections, a), { name: pick(texts, c), times: pick(numbers, c) }).text);
  },
  (b, { lists, selections, numbers }, { a, b: c, flag }) => {
    const into = b.cells("words", entries, count);
    numbers.push(b.map(pick(lists, a), greet, flag ? { into, to: pick(selections, c), retry: { attempts: 2 } } : { into }));
  },
  (b, { lists, selections, numbers }, { a, b: c, flag }) => {
    const shared = { item: "name", with: { times: pick(numbers, c) } } as const;
    b.output("list", b.map(pick(lists, a), relay, flag ? { ...shared, to: pick(selections, c) } : shared));
  },
  (b, { texts, numbers }, { a, b: c }) => numbers.push(b.update("words", pick(texts, a), count, pick(numbers, c))),
  (b, { texts }, { a }) => void b.read("words", { key: pick(texts, a) }),
  (b, { texts }, { a, b: c }) => texts.push(b.wait(`event-${a}`, v.string(), { after: [pick(texts, c)] })),
  (b, { numbers, texts }, { a, flag }) => void b.sleep(flag ? pick(numbers, a) : a, { after: [pick(texts, a)] }),
  (b, { numbers }) => numbers.push(b.clock()),
  (b, { texts }, { a, b: c }) => texts.push(b.race(pick(texts, a), pick(texts, c))),
];

function pick<T>(pool: readonly T[], index: number): T {
  return pool[index % pool.length] as T;
}

/** A flow of random operations on random earlier ports. */
export const randomFlow: fc.Arbitrary<AnyFlow> = fc
  .record({
    steps: fc.array(fc.record({ does: fc.nat(STEPS.length - 1), a: fc.nat(9), b: fc.nat(9), flag: fc.boolean() }), { maxLength: 25 }),
    deadlineMs: fc.oneof(fc.constant("never" as const), fc.integer({ min: 1, max: 10_000 })),
  })
  .map(({ steps, deadlineMs }) => {
    const options = { input: { text: v.string(), list: v.array(v.string()) }, output: { text: v.string(), number: v.number() }, deadlineMs };
    return flow("random", options, (b, { text, list }) => {
      const pools: Pools = { texts: [text], numbers: [b.constant(0)], lists: [list], selections: [b.select("workers")] };
      for (const step of steps) STEPS[step.does]?.(b, pools, step);
      return { text: pools.texts.at(-1) as Port<string>, number: pools.numbers.at(-1) as Port<number> };
    });
  });
