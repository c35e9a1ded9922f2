// What TypeScript must accept and refuse. The flows are defined and never built, so their bodies do not run.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { flow } from "./flow.ts";
import { host, pure } from "./functions.ts";
import { any, schema } from "./port-schema.ts";
import type { Failure } from "./definitions.ts";
import type { ItemResult } from "./flow-builder.ts";
import type { Flow } from "./flow.ts";
import type { HostFunction, PureFunction } from "./functions.ts";
import type { Port } from "./port.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._: Same<A, B> extends true ? [] : [never]): void {}

const length = pure("length", {}, (text: string) => text.length);
const add = pure("add", {}, (a: number, b: number) => a + b);
const shout = host("shout", { input: v.string() }, async (text) => `${text}!`);
const measure = host("measure", { input: v.string(), output: v.number() }, (text) => text.length);
const now = host("now", {}, async () => 5);
const trimmed = host("trimmed", { input: v.pipe(v.string(), v.transform(Number)) }, async (n) => n + 1);
const greet = flow("greet", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 5_000 },
  (b, { name }) => ({ text: b.host(shout, name) }));
const pairing = flow("pairing", { input: { left: v.string(), right: v.number() }, output: { size: v.number(), ok: v.boolean() }, deadlineMs: "never" },
  (b, { left, right }) => ({ size: b.pure(add, b.pure(length, left), right), ok: b.constant(true) }));

test("types: functions and flows have the types of their schemas", () => {
  same<typeof length, PureFunction<[text: string], number>>();
  same<typeof shout, HostFunction<string, string>>();
  same<typeof measure, HostFunction<string, number>>();
  same<typeof now, HostFunction<null, number>>();
  same<typeof trimmed, HostFunction<string, number>>();
  same<typeof greet, Flow<{ readonly name: string }, { readonly text: string }>>();
  const point = schema("point", { version: 2 }, v.object({ x: v.number() }));
  const move = flow("move", { input: { point, by: any<number[]>() }, output: { point }, deadlineMs: "never" }, (b, { point, by }) => {
    same<typeof point, Port<{ x: number }>>();
    same<typeof by, Port<number[]>>();
    return { point };
  });
  same<typeof move, Flow<{ readonly point: { x: number }; readonly by: number[] }, { readonly point: { x: number } }>>();
  // @ts-expect-error: the function returns a string where the schema wants a number
  host("wrong", { output: v.number() }, async () => "text");
  // @ts-expect-error: the input is a string
  host("wrong", { input: v.string() }, async (text) => text * 2);
  // @ts-expect-error: a deadline is spelled out
  assert.throws(() => flow("wrong", {}, () => {}));
});

test("types: a wrong port is a compile error", () => {
  flow("ports", { input: { text: v.string(), size: v.number() }, output: { size: v.number() }, deadlineMs: "never" }, (b, { text, size }) => {
    b.pure(length, text);
    b.pure(length, text, { name: "named" });
    b.pure(add, size, size, { name: "sum" });
    // @ts-expect-error: a number where a string is wanted
    b.pure(length, size);
    // @ts-expect-error: too few
    b.pure(add, size);
    // @ts-expect-error: too many
    b.pure(length, text, size);
    // @ts-expect-error: a value is no port
    b.pure(length, "text");
    // @ts-expect-error: a closure is no registered function
    b.pure((text: string) => text, text);
    b.host(now);
    b.host(now, { deadlineMs: 5 });
    b.host(shout, text, { deadlineMs: "never", name: "loud" });
    // @ts-expect-error: the input is missing
    b.host(shout);
    // @ts-expect-error: the input is a number
    b.host(shout, size);
    // @ts-expect-error: the sleep takes a number
    b.sleep(text);
    // @ts-expect-error: a date is no value
    b.constant(new Date());
    const either = b.race(text, size);
    same<typeof either, Port<string | number>>();
    const failure = b.failure(b.host(shout, text));
    same<typeof failure, Port<Failure>>();
    const approval = b.wait("approval", v.object({ by: v.string() }), { after: [text] });
    same<typeof approval, Port<{ by: string }>>();
    return { size };
  });
  // @ts-expect-error: the output is a string
  flow("wrong", { input: { text: v.string() }, output: { size: v.number() }, deadlineMs: 1 }, (_b, { text }) => ({ size: text }));
  // @ts-expect-error: an output is missing
  flow("wrong", { input: { text: v.string() }, output: { size: v.number() }, deadlineMs: 1 }, () => ({}));
  // @ts-expect-error: there is no such input
  flow("wrong", { input: { text: v.string() }, deadlineMs: 1 }, (b, { size }) => void b.output("size", size));
});

test("types: calls and sends take the flow's ports and give its outputs", () => {
  flow("asking", { input: { text: v.string(), size: v.number() }, deadlineMs: "never" }, (b, { text, size }) => {
    const peer = b.select("workers");
    const { text: greeting } = b.call(greet, peer, { name: text }, { retry: { attempts: 2 } });
    same<typeof greeting, Port<string>>();
    const paired = b.call(pairing, b.peer("ann"), { left: greeting, right: size });
    same<typeof paired.size, Port<number>>();
    same<typeof paired.ok, Port<boolean>>();
    b.send(greet, peer, { name: text });
    // @ts-expect-error: a wrong type
    b.call(greet, peer, { name: size });
    // @ts-expect-error: a missing port
    b.call(pairing, peer, { left: text });
    // @ts-expect-error: an unknown port
    b.call(greet, peer, { name: text, size });
    // @ts-expect-error: a text is no selection
    b.call(greet, text, { name: text });
    // @ts-expect-error: there is no such output
    paired.text;
    // @ts-expect-error: a send has no retry
    b.send(greet, peer, { name: text }, { retry: { attempts: 2 } });
  });
});

test("types: maps, cells and reads", () => {
  const entries = pure("entries", {}, ({ text }: { readonly text: string }): [string, number][] => [[text, 1]]);
  const counted = pure("counted", {}, (cell: number | null, delta: number) => (cell ?? 0) + delta);
  const joined = pure("joined", {}, (cell: string | null, delta: string) => (cell ?? "") + delta);
  flow("mapping", { input: { names: v.array(v.string()), size: v.number() }, deadlineMs: "never" }, (b, { names, size }) => {
    const to = b.select("workers");
    const listed = b.map(names, greet);
    same<typeof listed, Port<{ readonly text: string }[]>>();
    const collected = b.map(names, greet, { to, retry: { attempts: 3 }, onItemFailure: "collect" });
    same<typeof collected, Port<ItemResult<{ readonly text: string }>[]>>();
    const cells = b.cells("words", entries, counted);
    const folded = b.map(names, greet, { to, concurrency: 6, into: cells });
    same<typeof folded, Port<number>>();
    const twice = b.map(names, greet, { into: [cells, cells], onItemFailure: "collect" });
    same<typeof twice, Port<number>>();
    b.map(names, pairing, { item: "left", with: { right: size } });
    // @ts-expect-error: items are strings, the port takes numbers
    b.map(names, pairing, { item: "right", with: { left: b.constant("x") } });
    // @ts-expect-error: the other port is not filled
    b.map(names, pairing, { item: "left" });
    // @ts-expect-error: several ports, and none is said to be the item's
    b.map(names, pairing, { with: { right: size } });
    // @ts-expect-error: the list is of strings
    b.map(b.constant([1, 2]), greet);
    // @ts-expect-error: the entries are of another result
    b.map(names, pairing, { item: "left", with: { right: size }, into: cells });
    // @ts-expect-error: deltas are numbers, the fold takes strings
    b.cells("words", entries, joined);
    const cell = b.update("words", b.constant("the"), counted, size);
    same<typeof cell, Port<number>>();
    // @ts-expect-error: the argument is missing
    b.update("words", b.constant("the"), counted);
    const read = b.read<number>("words", { key: b.constant("the") }, { after: [folded] });
    same<typeof read, Port<number | null>>();
    const page = b.read<number>("words", { range: b.constant({ limit: 10 }) });
    same<typeof page, Port<[key: string, cell: number][]>>();
  });
});
