import { type AnyFlow, any, flow, host, pure, type Value } from "@holdfast/core";
import { type Job, jobValue } from "../world/outside.ts";
import { PORTS } from "./chain.ts";
import { WORKERS } from "./spread.ts";

/**
 * The job of examples/text-index, small: list the batches of a corpus, have workers read them, and add up, as they arrive,
 * how often each term occurs and in how many documents. The corpus is made up from the request's id.
 */
const VOCABULARY = ["anchor", "bow", "cleat", "deck", "halyard", "keel", "luff", "mast", "reef", "shroud", "tack", "winch"];
export const BATCHES = 4;
const DOCUMENTS_PER_BATCH = 3;

/** A term's cell: occurrences, documents. */
type TermCell = readonly [occurrences: number, documents: number];
/** A batch's cell: how often it was merged, and what was in it. */
type MergedCell = readonly [merges: number, documents: number];
type Batch = { readonly number: number; readonly paths: readonly string[] };
type Batched = { readonly name: string; readonly documents: number; readonly counts: readonly (readonly [term: string, ...TermCell])[] };
type Reading = Job & { readonly paths: readonly string[] };

function batchesOf(root: string): Batch[] {
  return Array.from({ length: BATCHES }, (_, number) => {
    return { number, paths: Array.from({ length: DOCUMENTS_PER_BATCH }, (_, at) => `${root}/${number}/${at}.txt`) };
  });
}

function wordsOf(path: string): string[] {
  const length = 3 + (jobValue(path) % 6);
  return Array.from({ length }, (_, at) => VOCABULARY[jobValue(`${at} of ${path}`) % VOCABULARY.length] as string);
}

/** What a worker does: counts document by document. */
function readPaths({ item, paths }: Reading): Batched {
  const counts = new Map<string, TermCell>();
  for (const path of paths) {
    const seen = new Set<string>();
    for (const word of wordsOf(path)) {
      const [occurrences, documents] = counts.get(word) ?? [0, 0];
      counts.set(word, [occurrences + 1, documents + (seen.has(word) ? 0 : 1)]);
      seen.add(word);
    }
  }
  return { name: item, documents: paths.length, counts: [...counts].map(([term, cell]) => [term, ...cell]) };
}

const listBatches = host("list-batches", { version: 1, class: "pure" }, ({ item }: Job): Batch[] => batchesOf(item));
const readBatch = host("read-batch", { version: 1, class: "pure" }, (reading: Reading): Batched => readPaths(reading));

const askList = pure("ask-list", { version: 1 }, (key: string): Job => ({ item: key, fails: false }));
const askBatch = pure("ask-batch", { version: 1 }, (root: string, { number, paths }: Batch): Reading => ({ item: batchName(root, number), fails: false, paths }));
const termEntries = pure("term-entries", { version: 1 }, ({ batched: { counts } }: { batched: Batched }) => counts.map(([term, ...cell]) => [term, cell] as [string, TermCell]));
const addTerm = pure("add-term", { version: 1 }, (cell: TermCell | null, [occurrences, documents]: TermCell): TermCell => [(cell?.[0] ?? 0) + occurrences, (cell?.[1] ?? 0) + documents]);
const batchEntry = pure("batch-entry", { version: 1 }, ({ batched: { name, documents } }: { batched: Batched }) => [[name, [1, documents]]] as [string, MergedCell][]);
const addMerge = pure("add-merge", { version: 1 }, (cell: MergedCell | null, [merges, documents]: MergedCell): MergedCell => [(cell?.[0] ?? 0) + merges, documents]);

const indexBatch = flow("index-batch", { input: { key: any<string>(), batch: any<Batch>() }, output: { batched: any<Batched>() }, deadlineMs: "never" },
  (b, { key, batch }) => ({ batched: b.host(readBatch, b.pure(askBatch, key, batch)) }));

const index = flow("index", { ...PORTS, deadlineMs: "never" }, (b, { key }) => ({
  n: b.map(b.host(listBatches, b.pure(askList, key)), indexBatch, {
    item: "batch", with: { key }, to: b.select(WORKERS), concurrency: 2, retry: { attempts: 5 },
    into: [b.cells("index", termEntries, addTerm), b.cells("merged", batchEntry, addMerge)],
  }),
}));

export const INDEX_FLOWS = [indexBatch, index] as unknown as readonly AnyFlow[];

/** What the outside answers to the functions of this job. */
export function indexAnswer(fn: string, input: Value): Value | undefined {
  if (fn === "list-batches@1") return batchesOf((input as unknown as Job).item) as unknown as Value;
  if (fn === "read-batch@1") return readPaths(input as unknown as Reading) as unknown as Value;
  return undefined;
}

export function batchName(root: string, number: number): string {
  return `${root}/${number}`;
}

/** The index of these batches, computed in one pass over all their words: term → "occurrences in documents". */
export function indexOf(batches: readonly string[]): Map<string, string> {
  const paths = batches.flatMap((batch) => Array.from({ length: DOCUMENTS_PER_BATCH }, (_, at) => `${batch}/${at}.txt`));
  const texts = paths.map(wordsOf);
  const index = new Map<string, string>();
  for (const term of VOCABULARY) {
    const occurrences = texts.flat().filter((word) => word === term).length;
    if (occurrences > 0) index.set(term, showCell([occurrences, texts.filter((words) => words.includes(term)).length]));
  }
  return index;
}

export function showCell(cell: Value): string {
  const [occurrences, documents] = cell as unknown as TermCell;
  return `${occurrences} in ${documents}`;
}
