/**
 * A fresh process for the start figure. Argument 1: `node` or `store`; 2: an empty directory; 3 and 4: for `node`, id and
 * address of the caller that waits for it. Tells its parent when it began, and for `store` when it was done.
 */
import { join } from "node:path";
import { createNode, openSqliteStore } from "@holdfast/host";
import { doubled } from "./flows.ts";

/** Wall time in ms, finer than Date.now(): comparable between processes of one machine. */
export const wallMs = (): number => performance.timeOrigin + performance.now();

if (process.send !== undefined) await start(process.argv.slice(2));

async function start([kind, directory, id, address]: string[]): Promise<void> {
  const beganAt = wallMs();
  if (kind === "store") {
    const store = await openSqliteStore(join(directory!, "store"));
    await store.claim("bench");
    await store.load();
    await store.commit({ position: 1, puts: [["row", new Uint8Array(64)]], deletes: [] });
    process.send!({ beganAt, doneAt: wallMs() });
    return store.close();
  }
  process.send!({ beganAt });
  const node = await createNode({ name: "callee", dataDir: directory!, listen: null, flows: [doubled], peers: { caller: { id: id!, addresses: [address!] } } });
  process.once("disconnect", () => void node.close());
}
