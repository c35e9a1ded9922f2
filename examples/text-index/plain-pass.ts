/**
 * The same index by one plain pass: list, read, count, sort, in one process and without Holdfast. What the fleet's index
 * is compared with. As a program: `node plain-pass.ts FOLDER` prints one line of JSON.
 */
import { pathToFileURL } from "node:url";
import { IndexDigest } from "./index-digest.ts";
import { listFiles, readFile } from "./list-files.ts";
import { TermCounter } from "./tokenizer.ts";
import type { IndexSummary } from "./index-digest.ts";

export interface PlainPass extends IndexSummary {
  readonly documents: number;
  readonly bytes: number;
}

export async function plainPass(root: string, exportPath?: string): Promise<PlainPass> {
  const counter = new TermCounter();
  for (const { path } of await listFiles(root)) {
    if (await readFile(root, path, (chunk) => counter.push(chunk))) counter.endDocument();
  }
  const digest = new IndexDigest(exportPath);
  for (const count of [...counter.terms()].sort((a, b) => (a.term < b.term ? -1 : 1))) digest.add(count);
  return { ...digest.finish(), documents: counter.documents, bytes: counter.bytes };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(JSON.stringify(await plainPass(process.argv[2] ?? ".", process.argv[3])));
}
