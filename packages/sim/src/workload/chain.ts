import { type AnyFlow, any, type Failure, flow, host, pure } from "@holdfast/core";
import { type Job, jobValue } from "../world/outside.ts";

/** The longest chain of calls. */
export const CHAIN_MAX = 3;

/** What the second edition counts, and adds to a result, beyond the first: so each number shows who made it. */
const COUNT_BY = [1, 1001] as const;
const ADD_BY = [0, 1_000_000] as const;

/** Which definitions a node has: those it is born with, or those that an upgrade brings. */
export type Edition = 1 | 2;

/** Of an older edition, functions alone: work in flight has its programs with it. */
const countUp = [1, 2].map((version) => pure("count-up", { version }, (cell: number | null) => (cell ?? 0) + (COUNT_BY[version - 1] as number)));
const plus = [1, 2].map((version) => pure("plus", { version }, (a: number, b: number) => a + b + (ADD_BY[version - 1] as number)));
type CountUp = NonNullable<(typeof countUp)[number]>;
type Plus = NonNullable<(typeof plus)[number]>;

export const FUNCTIONS_BEFORE = [countUp[0] as CountUp, plus[0] as Plus];

/** The functions of every flow that counts and never changes. */
export const [countOnce, sum] = FUNCTIONS_BEFORE as [CountUp, Plus];

const describe = pure("describe", { version: 1 }, (item: string, fails: boolean): Job => ({ item, fails }));
/** Work that is done outside, under a key. */
export const work = host("work", { version: 1, class: "keyed" }, ({ item }: Job): number => jobValue(item));

/** How every request is asked for, and what it comes to. */
export const PORTS = { input: { key: any<string>(), fails: any<boolean>() }, output: { n: any<number>() } };

export type Chain = ReturnType<typeof lastHop>;

/** Counts in a cell, and has work done outside. */
function lastHop(at: number, edition: Edition) {
  return flow(`chain-${at}-1`, { ...PORTS, version: edition, deadlineMs: "never" }, (b, { key, fails }) => {
    const mine = b.update("counts", key, countUp[edition - 1] as CountUp);
    return { n: b.pure(plus[edition - 1] as Plus, mine, b.host(work, b.pure(describe, key, fails))) };
  });
}

/** Counts in a cell, and asks the next node to do the rest. */
function hop(at: number, length: number, given: { next: Chain; peer: string; edition: Edition }): Chain {
  const { next, peer, edition } = given;
  return flow(`chain-${at}-${length}`, { ...PORTS, version: edition, deadlineMs: "never" }, (b, { key, fails }) => {
    const mine = b.update("counts", key, countUp[edition - 1] as CountUp);
    return { n: b.pure(plus[edition - 1] as Plus, mine, b.call(next, b.peer(peer), { key, fails }).n) };
  });
}

/** Has the next node do it, and does not wait. */
function tell(at: number, next: Chain, peer: string) {
  return flow(`tell-${at}`, { ...PORTS, deadlineMs: "never" }, (b, { key, fails }) => {
    b.send(next, b.peer(peer), { key, fails });
    return { n: b.update("counts", key, countOnce) };
  });
}

/** What stands for a failure that a flow caught. */
const CAUGHT: Readonly<Record<string, number>> = { DEADLINE: -1, OUTSIDE: -2, DENIED: -3, OUTCOME_UNKNOWN: -4 };
const markCaught = pure("mark-caught", { version: 1 }, ({ code }: Failure) => CAUGHT[code] ?? -99);

/** The code of a failure that a flow caught and told by a number. */
export function caughtCode(n: number): string | undefined {
  return Object.keys(CAUGHT).find((code) => CAUGHT[code] === n);
}

/** How long a hurried call may take, from that node: ms. */
export function hurryMs(at: number): number {
  return at % 2 === 0 ? 100 : 1500;
}

/** Asks the next node, does not wait for long, and goes on without it. */
function hurried(at: number, next: Chain, peer: string) {
  return flow(`hurried-${at}`, { ...PORTS, deadlineMs: "never" }, (b, { key, fails }) => {
    const mine = b.update("counts", key, countOnce);
    const { n } = b.call(next, b.peer(peer), { key, fails }, { deadlineMs: hurryMs(at) });
    return { n: b.race(b.pure(sum, mine, n), b.pure(markCaught, b.failure(n))) };
  });
}

/** How long `hasty` may take in all: ms. */
export const HASTY_MS = 300;

/** Gives its work little time, and fails without it. */
const hasty = flow("hasty", { ...PORTS, deadlineMs: HASTY_MS }, (b, { key, fails }) => {
  const mine = b.update("counts", key, countOnce);
  return { n: b.pure(sum, mine, b.host(work, b.pure(describe, key, fails), { deadlineMs: HASTY_MS / 3 })) };
});

/** The flows of a ring of those nodes: chains of every length from every node, and what uses them. */
export function chainFlows(names: readonly string[], edition: Edition): AnyFlow[] {
  const after = (at: number): number => (at + 1) % names.length;
  const nameAfter = (at: number): string => names[after(at)] as string;
  let chains = names.map((_, at) => lastHop(at, edition));
  const flows: unknown[] = [hasty, ...chains];
  for (const [at] of names.entries()) {
    const next = chains[after(at)] as Chain;
    flows.push(tell(at, next, nameAfter(at)), hurried(at, next, nameAfter(at)));
  }
  for (let length = 2; length <= CHAIN_MAX; length++) {
    chains = chains.map((_, at) => hop(at, length, { next: chains[after(at)] as Chain, peer: nameAfter(at), edition }));
    flows.push(...chains);
  }
  return flows as AnyFlow[];
}

/** Which edition left that count; undefined: neither, or more than one, or more than once. */
export function editionOfCount(count: unknown): Edition | undefined {
  const at = COUNT_BY.indexOf(count as 1);
  return at < 0 ? undefined : ((at + 1) as Edition);
}

/** The result of a chain whose nodes ran it in these editions: each program kept to its own, whatever came later. */
export function chainResult(id: string, editions: readonly Edition[]): number {
  return editions.reduce((total, edition) => total + (COUNT_BY[edition - 1] as number) + (ADD_BY[edition - 1] as number), jobValue(id));
}
