/** The flows of the text index, the same in every process of the fleet. */
import { any, flow, host, pure } from "holdfast";
import * as v from "valibot";
import { exportLine } from "./index-digest.ts";
import { listFiles, readFile } from "./list-files.ts";
import { planBatches } from "./plan-batches.ts";
import { TermCounter } from "./tokenizer.ts";

const Batch = v.object({ number: v.number(), paths: v.array(v.string()) });
const Batched = v.object({
  number: v.number(),
  documents: v.number(),
  bytes: v.number(),
  postings: v.number(),
  /** `term TAB occurrences TAB documents LF`, a line for each term of the batch. */
  counts: v.instance(Uint8Array),
});
const Hit = v.object({ term: v.string(), occurrences: v.number(), documents: v.number() });

type Batched = v.InferOutput<typeof Batched>;
type Hit = v.InferOutput<typeof Hit>;
/** A term's cell: occurrences, documents. */
export type TermCell = readonly [occurrences: number, documents: number];
/** A batch's cell: how often it was merged, which must be once, and what was in it. */
export type MergedCell = readonly [merges: number, documents: number, bytes: number, postings: number];

const readBatch = host("read-batch", { input: v.object({ root: v.string(), batch: Batch }), output: Batched, class: "pure" },
  async ({ root, batch }, { signal }): Promise<Batched> => {
    const counter = new TermCounter();
    for (const path of batch.paths) {
      signal.throwIfAborted();
      if (await readFile(root, path, (chunk) => counter.push(chunk))) counter.endDocument();
    }
    const { documents, bytes, postings } = counter;
    return { number: batch.number, documents, bytes, postings, counts: Buffer.from(Array.from(counter.terms(), exportLine).join(""), "latin1") };
  });

const listBatches = host("list-batches", { input: v.string(), output: v.array(Batch), class: "pure" },
  async (root) => planBatches(await listFiles(root)));

const withRoot = pure("with-root", {}, (root: string, batch: v.InferOutput<typeof Batch>) => ({ root, batch }));

/** What a worker does for the coordinator. */
export const indexBatch = flow("text-index/batch",
  { input: { root: v.string(), batch: Batch }, output: { batched: Batched }, deadlineMs: 600_000 },
  (b, { root, batch }) => ({ batched: b.host(readBatch, b.pure(withRoot, root, batch)) }));

const TAB = 0x09;
const LINE_FEED = 0x0a;

const termEntries = pure("term-entries", {}, ({ batched: { counts } }: { readonly batched: Batched }): [string, TermCell][] => {
  const entries: [string, TermCell][] = [];
  for (let at = 0; at < counts.length; at++) {
    let term = "";
    for (; counts[at] !== TAB; at++) term += String.fromCharCode(counts[at] as number);
    let occurrences = 0;
    for (at++; counts[at] !== TAB; at++) occurrences = occurrences * 10 + (counts[at] as number) - 0x30;
    let documents = 0;
    for (at++; counts[at] !== LINE_FEED; at++) documents = documents * 10 + (counts[at] as number) - 0x30;
    entries.push([term, [occurrences, documents]]);
  }
  return entries;
});

const addTerm = pure("add-term", {}, (cell: TermCell | null, [occurrences, documents]: TermCell): TermCell =>
  cell === null ? [occurrences, documents] : [cell[0] + occurrences, cell[1] + documents]);

const batchEntry = pure("batch-entry", {}, ({ batched }: { readonly batched: Batched }): [string, MergedCell][] =>
  [[String(batched.number), [1, batched.documents, batched.bytes, batched.postings]]]);

const addMerge = pure("add-merge", {}, (cell: MergedCell | null, [, ...batch]: MergedCell): MergedCell =>
  [(cell?.[0] ?? 0) + 1, ...batch]);

/** Indexes every text file below `root`: the batches go to workers, their counts into cells as they arrive. */
export const buildIndex = flow("text-index/build",
  { input: { root: v.string() }, output: { batches: v.number() }, deadlineMs: "never" },
  (b, { root }) => ({
    batches: b.map(b.host(listBatches, root), indexBatch, {
      name: "batches",
      item: "batch",
      with: { root },
      to: b.select("workers"),
      concurrency: 6,
      retry: { attempts: 5 },
      into: [b.cells("index", termEntries, addTerm), b.cells("merged", batchEntry, addMerge)],
    }),
  }));

const termsOf = pure("terms-of", {}, (query: string): string[] =>
  [...new Set(query.toLowerCase().match(/[a-z0-9_]+/g) ?? [])].filter((term) => term.length >= 2 && term.length <= 64));

const hitOf = pure("hit-of", {}, (term: string, cell: TermCell | null): Hit =>
  ({ term, occurrences: cell?.[0] ?? 0, documents: cell?.[1] ?? 0 }));

const hitsOf = pure("hits-of", {}, (looked: { readonly hit: Hit }[]): Hit[] => looked.map(({ hit }) => hit));

const lookUp = flow("text-index/look-up", { input: { term: any<string>() }, output: { hit: any<Hit>() }, deadlineMs: 10_000 },
  (b, { term }) => ({ hit: b.pure(hitOf, term, b.read<TermCell>("index", { key: term })) }));

/** Answers from the index: for each term of the query, how often it occurs and in how many documents. */
export const search = flow("text-index/search",
  { input: { query: v.string() }, output: { hits: v.array(Hit) }, deadlineMs: 10_000 },
  (b, { query }) => ({ hits: b.pure(hitsOf, b.map(b.pure(termsOf, query), lookUp)) }));
