import { type AnyFlow, any, flow, pure } from "@holdfast/core";
import type { Job } from "../world/outside.ts";
import { PORTS, work } from "./chain.ts";

/** Items of one map. */
export const ITEMS = 6;
/** The group of a node's peers. */
export const WORKERS = "workers";

const itemsOf = pure("items-of", { version: 1 }, (key: string) => Array.from({ length: ITEMS }, (_, at) => `${key}/${at}`));
const describePart = pure("describe-part", { version: 1 }, (item: string): Job => ({ item, fails: false }));
const entries = pure("entries", { version: 1 }, ({ item, n }: { item: string; n: number }) => [[item, n]] as [string, number][]);
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);

const part = flow("part", { input: { item: any<string>() }, output: { item: any<string>(), n: any<number>() }, deadlineMs: "never" },
  (b, { item }) => ({ item, n: b.host(work, b.pure(describePart, item)) }));

/** Has every item done by one of the others, by a further one where that is slow, and adds up what comes first. */
const spread = flow("spread", { ...PORTS, deadlineMs: "never" }, (b, { key }) => ({
  n: b.map(b.pure(itemsOf, key), part, { to: b.select(WORKERS), concurrency: 3, retry: { attempts: 3 }, into: b.cells("sums", entries, add) }),
}));

export const SPREAD_FLOWS = [part, spread] as unknown as readonly AnyFlow[];
