/** What `holdfast up` does with the fleet: build the index of a folder, and prove that it is right. */
import { execFile } from "node:child_process";
import { realpath, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildIndex } from "./flows.ts";
import { IndexDigest } from "./index-digest.ts";
import type { FleetJob, JobContext, JobReport } from "holdfast";
import type { MergedCell, TermCell } from "./flows.ts";
import type { PlainPass } from "./plain-pass.ts";

/** Thousands of real files that nobody here wrote. */
const FOLDER_DEFAULT = fileURLToPath(new URL("../../node_modules", import.meta.url));
const PLAIN_PASS = fileURLToPath(new URL("./plain-pass.ts", import.meta.url));

export const job: FleetJob = {
  node: "coordinator",
  flow: buildIndex,
  progress: "batches",
  chaos: { at: [0.25, 0.5, 0.75], kill: "workers", stop: "workers", stopMs: 2_000, killLast: "coordinator", broker: true },

  async prepare(args) {
    const [folder = FOLDER_DEFAULT, ...rest] = args;
    if (rest.length > 0) throw new Error(`one folder can be indexed, not also ${rest.join(", ")}`);
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory() !== true) throw new Error(`${folder} is not a folder`);
    const root = await realpath(folder);
    return { input: { root }, title: `index ${root}` };
  },

  report,
};

interface Merged {
  batches: number;
  mergedTwice: string[];
  documents: number;
  bytes: number;
  postings: number;
}

async function report(context: JobContext): Promise<JobReport> {
  const { root } = context.input as { root: string };
  const [index, merged] = [await readIndex(context), await readMerged(context)];
  context.say("comparing with one plain pass over the same files …");
  const plain = await runPlainPass(root, context.stop);
  const batches = (context.result as { batches: number }).batches;
  const runs = context.hostStarts("workers");
  return {
    rows: [
      ["documents", count(merged.documents)],
      ["terms", count(index.terms)],
      ["postings", count(index.postings)],
      ["bytes", count(merged.bytes)],
      ["batches", count(batches)],
      ["host operation runs", runs === null ? "unknown" : `${count(runs)} for ${count(batches)} batches`],
    ],
    proofs: [
      {
        claim: "the index's digest equals that of one plain pass",
        holds: index.digest === plain.digest && merged.documents === plain.documents && merged.bytes === plain.bytes,
        detail: index.digest === plain.digest ? index.digest : `fleet ${index.digest}, plain pass ${plain.digest}`,
      },
      {
        claim: "every batch was folded in exactly once",
        holds: merged.batches === batches && merged.mergedTwice.length === 0 && merged.postings === index.postings,
        detail: merged.mergedTwice.length === 0
          ? `${merged.batches} of ${batches}`
          : `more than once: ${merged.mergedTwice.slice(0, 10).join(", ")}`,
      },
    ],
  };
}

async function readIndex({ cells, exportPath }: JobContext) {
  const digest = new IndexDigest(exportPath);
  for await (const [term, cell] of cells("index")) {
    const [occurrences, documents] = cell as TermCell;
    digest.add({ term, occurrences, documents });
  }
  return digest.finish();
}

async function readMerged({ cells }: JobContext): Promise<Merged> {
  const merged: Merged = { batches: 0, mergedTwice: [], documents: 0, bytes: 0, postings: 0 };
  for await (const [number, cell] of cells("merged")) {
    const [merges, documents, bytes, postings] = cell as MergedCell;
    merged.batches++;
    if (merges !== 1) merged.mergedTwice.push(number);
    merged.documents += documents;
    merged.bytes += bytes;
    merged.postings += postings;
  }
  return merged;
}

/** In a process of its own: its memory is none of the fleet's, and nothing of the fleet can help it. */
async function runPlainPass(root: string, signal: AbortSignal): Promise<PlainPass> {
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, PLAIN_PASS, root], { signal });
  return JSON.parse(stdout) as PlainPass;
}

function count(number: number): string {
  return number.toLocaleString("en");
}
