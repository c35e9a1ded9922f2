import { any } from "../../flow/port-schema.ts";
import { flow } from "../../flow/flow.ts";
import { host, pure } from "../../flow/functions.ts";

/** Flows that between them leave something in every family of rows. */
const long = pure("long", { version: 1 }, (n: number) => String(n % 10).repeat(2000));
const work = host("work", { version: 1 }, (n: number) => n + 1);
const entries = pure("entries", { version: 1 }, ({ n }: { n: number }) => [[`item ${n % 7}`, 1], ["sum", n]] as [string, number][]);
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);

export const worked = flow("worked", { input: { n: any<number>() }, output: { n: any<number>(), text: any<string>() }, deadlineMs: 60_000 },
  (b, { n }) => ({ n: b.host(work, n), text: b.pure(long, n) }));
const ask = flow("ask", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 },
  (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const tell = flow("tell", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 }, (b, { n }) => {
  b.send(worked, b.select("workers"), { n });
  return { n };
});
const spread = flow("spread", { input: { list: any<number[]>() }, output: { count: any<number>() }, deadlineMs: "never" },
  (b, { list }) => ({
    count: b.map(list, worked, { to: b.select("workers"), concurrency: 3, retry: { attempts: 3 }, into: b.cells("sums", entries, add) }),
  }));
const listed = flow("listed", { input: { list: any<number[]>() }, output: { results: any<unknown>() }, deadlineMs: "never" },
  (b, { list }) => {
    const results = b.map(list, worked, { concurrency: 2 });
    return { results: b.race(results, b.sleep(800)) };
  });
const hurried = flow("hurried", { input: { n: any<number>() }, output: { n: any<unknown>() }, deadlineMs: 30_000 },
  (b, { n }) => ({ n: b.race(b.sleep(50), b.pure(add, b.host(work, n), n), b.wait("go")) }));

export const busyFlows = [worked, ask, tell, spread, listed, hurried];
