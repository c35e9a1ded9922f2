import { type AnyFlow, any, flow, pure } from "@holdfast/core";
import { openLog } from "../log.ts";
import { createNode } from "../node.ts";

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);

/** Durable work that must take effect once: the answer says how often it did. */
export const counted = flow("counted", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { key }) => ({ n: b.update("counts", key, countUp) }));
export const askCount = flow("ask-count", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: 60_000 }, (b, { key }) => ({ n: b.call(counted, b.peer("bob"), { key }).n }));
export const countingFlows = [counted, askCount] as unknown as AnyFlow[];

/** Run as a process: `counting-node.ts DATA_DIR LISTEN ANN_ID`. To be killed. */
if (process.argv[1] === import.meta.filename) {
  const [dataDir = "", listen = "", ann = ""] = process.argv.slice(2);
  const node = await createNode({ name: "bob", dataDir, listen, peers: { ann: { id: ann, addresses: [] } }, flows: countingFlows, log: openLog({ level: "silent", name: "bob" }) });
  node.failed.catch(() => process.exit(3));
  process.stdout.write("ready\n");
}
