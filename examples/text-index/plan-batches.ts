import type { ListedFile } from "./list-files.ts";

/** Enough batches that a fleet can share them, and that there is a middle to be killed in. */
const BATCHES_WANTED = 60;
/** Counts of 4 MB of text are far below what one value may carry between nodes (4 MiB encoded). */
const BATCH_BYTES_MAX = 4_000_000;
const BATCH_FILES_MAX = 500;

export interface Batch {
  readonly number: number;
  readonly paths: string[];
}

/** Cuts the list into batches of about equal size: a sixtieth of the whole, within the bounds. A large file is alone. */
export function planBatches(files: readonly ListedFile[]): Batch[] {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const bytesMax = Math.min(Math.ceil(total / BATCHES_WANTED), BATCH_BYTES_MAX);
  const filesMax = Math.min(Math.ceil(files.length / BATCHES_WANTED), BATCH_FILES_MAX);
  const batches: Batch[] = [];
  let paths: string[] = [];
  let bytes = 0;
  for (const file of files) {
    if (paths.length > 0 && (paths.length === filesMax || bytes + file.bytes > bytesMax)) {
      batches.push({ number: batches.length, paths });
      paths = [];
      bytes = 0;
    }
    paths.push(file.path);
    bytes += file.bytes;
  }
  if (paths.length > 0) batches.push({ number: batches.length, paths });
  return batches;
}
