/**
 * Durable operations: `run` of a flow with one pure operation, 64 in flight, in the embedded store with fsync. Compared
 * with the store alone, which commits the very batches that the node committed, one after the other.
 */
import { join } from "node:path";
import { type Batch, createNode, openSqliteStore } from "@holdfast/host";
import { type BenchOptions, type Figure, figure, interleave, median, rounds, scratchDirectory } from "../harness.ts";
import { doubled } from "./flows.ts";
import { recordingStore } from "./recording-store.ts";

const IN_FLIGHT = 64;
const TARGET_PER_S = 20_000;
const TARGET_SHARE = 0.5;

export async function measureDurable(options: BenchOptions): Promise<Figure[]> {
  const count = options.quick ? 20_000 : 60_000;
  let batches: Batch[] = [];
  const { node, store } = await interleave(rounds(options), {
    node: async () => {
      const measured = await throughNode(count);
      batches = measured.batches;
      return measured.perSecond;
    },
    store: () => throughStore(batches, count),
  });
  const perBatch = Math.round(count / batches.length);
  return [figure({
    figure: `durable operations, ${IN_FLIGHT} in flight`, value: median(node), unit: "/s",
    comparison: `the bare store with the same rows, about ${perBatch} operations a batch`, other: median(store),
    target: `≥ 20,000/s and ≥ ${TARGET_SHARE} of the store`, met: median(node) >= TARGET_PER_S && median(node) / median(store) >= TARGET_SHARE,
  })];
}

async function throughNode(count: number): Promise<{ perSecond: number; batches: Batch[] }> {
  using scratch = scratchDirectory();
  const batches: Batch[] = [];
  const store = recordingStore(await openSqliteStore(join(scratch.path, "store")), batches);
  await using node = await createNode({ name: "bench", dataDir: join(scratch.path, "node"), listen: null, flows: [doubled] }, { store });
  batches.length = 0; // what the start committed
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) await node.run(doubled, { n: next++ });
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, client));
  const perSecond = count / ((performance.now() - startedAt) / 1000);
  return { perSecond, batches: batches.slice() };
}

async function throughStore(batches: readonly Batch[], count: number): Promise<number> {
  using scratch = scratchDirectory();
  const store = await openSqliteStore(join(scratch.path, "store"));
  await store.claim("bench");
  await store.load();
  const startedAt = performance.now();
  for (const batch of batches) await store.commit(batch);
  const seconds = (performance.now() - startedAt) / 1000;
  await store.close();
  return count / seconds;
}
