/**
 * The fleet of the kill test: four nodes in a ring. A request leaves a trace in each way a flow can take effect, and each
 * trace can be counted afterwards.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { any, defineFleet, flow, host, pure } from "../mod.ts";
import type { FleetNode } from "../mod.ts";

const NAMES = ["ann", "bob", "cid", "dan"];
/** How many peers' work each request folds into one cell. */
export const PARTS = 3;

const increment = pure("increment", {}, (cell: number | null) => (cell ?? 0) + 1);
const add = pure("add", {}, (cell: number | null, delta: number) => (cell ?? 0) + delta);
const partsOf = pure("parts-of", {}, (id: string): string[] => new Array<string>(PARTS).fill(id));
const partEntry = pure("part-entry", {}, ({ part }: { readonly part: string }): [string, number][] => [[part, 1]]);

/** A service outside takes effect at once and answers late, so that kills find work that is done and not yet known to be. */
const ANSWER_MS = 50;

/** Idempotent under its key, as any service should be: one file per key, named after the request, too. */
const act = host("act", { class: "keyed" }, async ({ id, outside }: { readonly id: string; readonly outside: string }, { key }) => {
  writeFileSync(join(outside, `${id} ${encodeURIComponent(key)}`), "");
  return await sleep(ANSWER_MS, id);
});
const order = pure("order", {}, (id: string, outside: string) => ({ id, outside }));

const workPart = flow("work-part", { input: { part: any<string>() }, output: { part: any<string>() }, deadlineMs: "never" }, (_, { part }) => ({ part }));

const receive = flow("receive",
  { input: { id: any<string>(), outside: any<string>() }, output: { received: any<number>(), done: any<string>() }, deadlineMs: "never" },
  (b, { id, outside }) => ({ received: b.update("received", id, increment), done: b.host(act, b.pure(order, id, outside)) }));

const request = flow("request",
  { input: { id: any<string>(), outside: any<string>() }, output: { asked: any<number>(), parts: any<number>(), received: any<number>() }, deadlineMs: "never" },
  (b, { id, outside }) => ({
    asked: b.update("asked", id, increment),
    parts: b.map(b.pure(partsOf, id), workPart, { to: b.select("others"), retry: { attempts: 3 }, into: b.cells("parts", partEntry, add) }),
    received: b.call(receive, b.select("next"), { id, outside }).received,
  }));

const node = (name: string, index: number): [string, FleetNode] => {
  const others = NAMES.filter((other) => other !== name);
  return [name, { heapMb: 64, groups: { others, next: [NAMES[(index + 1) % NAMES.length] as string] } }];
};

export default defineFleet({ name: "counting", nodes: Object.fromEntries(NAMES.map(node)), flows: [request, receive, workPart] });
