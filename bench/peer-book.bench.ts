/** What @holdfast/fetch's book of peers costs a call, beside a bare lookup of the same keys, and a peer that is well and idle. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { PeerBook } from "../packages/fetch/src/peer-book.ts";
import type { Pass } from "../packages/fetch/src/peer-book.ts";
import { peersOptions } from "../packages/fetch/src/peers-options.ts";
import { type BenchOptions, type Figure, figure, interleave, median, rounds } from "./harness.ts";

const START = 1e15;
const CALLS = 100_000;
const PEERS = 10_000;
const ASKED = 100;
const WORKS = { kind: "works" } as const;
const TRIPS = Array.from({ length: 1024 }, (_, at) => 20e6 + ((at * 7919) % 1000) * 1e4);

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  const keys = keysOf(ASKED);
  const book = new PeerBook(peersOptions({}));
  let now = START;
  let sink = 0;
  for (const key of keys) for (let call = 0; call < 100; call++) settled(book, key, TRIPS[call], (now += 1e6));
  for (let failure = 0; failure < 5; failure++) book.settle(book.admit("bad", "", now) as Pass, { kind: "refused" }, undefined, now);
  const failedAt = now;
  const known = new Map(keys.map((key, at) => [key, { at }]));
  const samples = await interleave(rounds(options), {
    lookup: each((at) => void (sink |= known.get(keys[at % ASKED]!)!.at)),
    plain: each((at) => settled(book, keys[at % ASKED]!, undefined, (now += 1000))),
    learned: each((at) => {
      const pass = book.admit(keys[at % ASKED]!, "GET /", (now += 1000)) as Pass;
      sink |= book.deadlineNs(pass.site, now);
      book.settle(pass, WORKS, TRIPS[at & 1023], now);
    }),
    refused: each(() => void (sink |= (book.admit("bad", "", failedAt) as Error).message.length)),
  });
  const lookup = median(samples.lookup);
  const line = (name: string, of: number, most: number | undefined): Figure => figure({
    figure: name, value: of, unit: "ns", comparison: "a bare Map.get of the same keys", other: lookup,
    target: most === undefined ? "none" : `≤ ${most} ns`, met: most === undefined || of <= most,
  });
  const plain = median(samples.plain);
  return [
    line("admission and success of a peer that is well", plain, 100),
    line("its learned deadline, and learning from the answer", median(samples.learned) - plain, undefined),
    line("a refusal while a peer cools down", median(samples.refused), undefined),
    memory(),
  ];
}

function memory(): Figure {
  const keys = keysOf(PEERS);
  const fill = (): PeerBook => {
    const book = new PeerBook(peersOptions({}));
    for (const [at, key] of keys.entries()) settled(book, key, 20e6, START + at);
    return book;
  };
  fill();
  const bare = bytesPer(() => new Map(keys.map((key) => [key, {}])));
  const bytes = bytesPer(fill);
  return figure({
    figure: "an idle peer with one site that answered, its key not counted", value: bytes, unit: "bytes", comparison: "an empty object in a map", other: bare,
    target: "≤ 400", met: bytes <= 400,
  });
}

function keysOf(count: number): string[] {
  return Array.from({ length: count }, (_, at) => Buffer.from(`https://peer-${at}.example.com`).toString("latin1"));
}

function settled(book: PeerBook, key: string, roundTripNs: number | undefined, now: number): void {
  book.settle(book.admit(key, "GET /", now) as Pass, WORKS, roundTripNs, now);
}

/** Nanoseconds each. */
function each(work: (at: number) => void): () => number {
  return () => {
    const startedAt = performance.now();
    for (let at = 0; at < CALLS; at++) work(at);
    return ((performance.now() - startedAt) * 1e6) / CALLS;
  };
}

function bytesPer(make: () => { readonly size?: number } | PeerBook): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = held();
  const kept = make();
  const bytes = (held() - before) / PEERS;
  if (kept === undefined) throw new Error("something is held");
  return bytes;
}
