/**
 * One life of a node's directory, to be recorded: makes or opens its identity and its store, commits known batches, and
 * writes each promise to ACKNOWLEDGED beside the directory when it is made.
 *
 *     workload.ts DIRECTORY BURSTS COMMITS kill|close
 *
 * A burst fills the write-ahead log until the store moves it into the database, so that the next one starts it over. The
 * commits come last; a kill finds some of them in flight.
 */
import { openSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "@holdfast/core";
import { openIdentity } from "../../identity/identity.ts";
import { openSqliteStore } from "../../stores/sqlite-store.ts";
import type { Batch, Row, Store } from "../../stores/store.ts";

export const ACKNOWLEDGED = "acknowledged";

/** What the process was told. Each line of the file replaces what it names. */
export interface Acknowledged {
  readonly peer?: string;
  readonly fence?: number;
  readonly position?: number;
}

const KEYS = 60;
const ROWS_MAX = 20;
/** Upper bounds of a value's size; the largest are stored as blobs. */
const VALUE_BYTES_MAX = [10, 100, 1_000, 5_000, 60_000, 300_000];
/** Beyond what makes the store move its log when it is left alone (sqlite-worker.ts). */
const BURST_BYTES = 4.5 * 1024 * 1024;
const IN_FLIGHT = 4;

/** The same for the same position, whoever asks. */
export function batchAt(position: number): Batch {
  const random = Random.fromSeed(`batch ${position}`);
  const key = () => `key/${random.below(KEYS)}`;
  const puts = Array.from({ length: 1 + random.below(1 + random.below(ROWS_MAX)) }, (_, index): Row => {
    const bytes = random.below(VALUE_BYTES_MAX[random.below(VALUE_BYTES_MAX.length)]!);
    // Some values are shared by rows: a blob is stored once.
    return [key(), random.below(8) === 0 ? Buffer.alloc(70_000, `shared ${position % 3}`) : Buffer.alloc(bytes, `${position}/${index} `)];
  });
  return { position, puts, deletes: Array.from({ length: random.below(4) }, key) };
}

if (process.argv[1] === import.meta.filename) {
  const [directory = "", bursts, commits, ending] = process.argv.slice(2);
  const promises = openSync(join(dirname(directory), ACKNOWLEDGED), "a");
  const acknowledge = (promise: Acknowledged) => void writeSync(promises, `${JSON.stringify(promise)}\n`);
  acknowledge({ peer: openIdentity(directory).peerId });

  const store = await openSqliteStore(join(directory, "store"));
  let { fence, position } = await store.claim("ann");
  acknowledge({ fence, position });
  await store.load();

  for (let burst = 0; burst < Number(bursts); burst++) {
    const moved = () => statSync(join(directory, "store", "state.db")).mtimeMs;
    const before = moved();
    let bytes = 0;
    await commitWhile(store, ({ puts }) => (bytes += puts.reduce((sum, [, value]) => sum + value.length, 0)) < BURST_BYTES);
    while (moved() === before) await sleep(1);
  }
  let left = Number(commits);
  await commitWhile(store, () => --left > 0, () => {
    if (ending === "kill" && left <= 0) process.kill(process.pid, "SIGKILL");
  });
  await store.close();

  async function commitWhile(to: Store, more: (batch: Batch) => boolean, onCommitted = () => {}): Promise<void> {
    let isLast = false;
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      while (!isLast) {
        const batch = batchAt(++position);
        isLast = !more(batch);
        await to.commit(batch);
        acknowledge({ position: batch.position });
        onCommitted();
      }
    }));
  }
}
