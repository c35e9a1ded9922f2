import { type AnyFlow, any, compileFlows, type Definitions, flow, host, pure } from "@holdfast/core";
import { jobValue } from "../world/outside.ts";

/** The longest chain of calls. */
export const CHAIN_MAX = 3;
/** Items of one map. */
export const ITEMS = 6;
/** The group of a node's peers. */
export const WORKERS = "workers";

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const plus = pure("plus", { version: 1 }, (a: number, b: number) => a + b);
const describe = pure("describe", { version: 1 }, (item: string, fails: boolean) => ({ item, fails }));
const work = host("work", { version: 1, class: "keyed" }, (job: { item: string; fails: boolean }): number => jobValue(job.item));

const itemsOf = pure("items-of", { version: 1 }, (key: string) => Array.from({ length: ITEMS }, (_, at) => `${key}/${at}`));
const describePart = pure("describe-part", { version: 1 }, (item: string) => ({ item, fails: false }));
const entries = pure("entries", { version: 1 }, ({ item, n }: { item: string; n: number }) => [[item, n]] as [string, number][]);
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);

const part = flow("part", { input: { item: any<string>() }, output: { item: any<string>(), n: any<number>() }, deadlineMs: "never" },
  (b, { item }) => ({ item, n: b.host(work, b.pure(describePart, item)) }));
/** Has every item done by one of the others, by a further one where that is slow, and adds up what comes first. */
const spread = flow("spread", { input: { key: any<string>(), fails: any<boolean>() }, output: { n: any<number>() }, deadlineMs: "never" },
  (b, { key }) => ({
    n: b.map(b.pure(itemsOf, key), part, { to: b.select(WORKERS), concurrency: 3, retry: { attempts: 3 }, into: b.cells("sums", entries, add) }),
  }));

type Chain = ReturnType<typeof lastHop>;

/** Counts in a cell, and has work done outside. */
function lastHop(at: number) {
  return flow(`chain-${at}-1`, { input: { key: any<string>(), fails: any<boolean>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { key, fails }) => {
    const mine = b.update("counts", key, countUp);
    return { n: b.pure(plus, mine, b.host(work, b.pure(describe, key, fails))) };
  });
}

/** Counts in a cell, and asks the next node to do the rest. */
function hop(at: number, length: number, next: Chain, peer: string): Chain {
  return flow(`chain-${at}-${length}`, { input: { key: any<string>(), fails: any<boolean>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { key, fails }) => {
    const mine = b.update("counts", key, countUp);
    return { n: b.pure(plus, mine, b.call(next, b.peer(peer), { key, fails }).n) };
  });
}

/** Has the next node do it, and does not wait. */
function tell(at: number, next: Chain, peer: string) {
  return flow(`tell-${at}`, { input: { key: any<string>(), fails: any<boolean>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { key, fails }) => {
    b.send(next, b.peer(peer), { key, fails });
    return { n: b.update("counts", key, countUp) };
  });
}

const compiled = new Map<number, Definitions>();

/** The flows of a ring of so many nodes. */
export function definitionsFor(nodes: number): Definitions {
  const known = compiled.get(nodes);
  if (known !== undefined) return known;
  const flows: AnyFlow[] = [part, spread] as unknown as AnyFlow[];
  let shorter = Array.from({ length: nodes }, (_, at) => lastHop(at));
  flows.push(...(shorter as unknown as AnyFlow[]));
  for (let at = 0; at < nodes; at++) {
    const next = (at + 1) % nodes;
    flows.push(tell(at, shorter[next] as Chain, nodeName(next)) as unknown as AnyFlow);
  }
  for (let length = 2; length <= CHAIN_MAX; length++) {
    shorter = shorter.map((_, at) => hop(at, length, shorter[(at + 1) % nodes] as Chain, nodeName((at + 1) % nodes)));
    flows.push(...(shorter as unknown as AnyFlow[]));
  }
  const definitions = compileFlows(flows);
  compiled.set(nodes, definitions);
  return definitions;
}

export function nodeName(at: number): string {
  return `n${at}`;
}
