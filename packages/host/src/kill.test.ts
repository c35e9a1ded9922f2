import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openIdentity } from "./identity/identity.ts";
import { openLog } from "./log.ts";
import { createNode } from "./node.ts";
import { countingFlows } from "./testing/counting-node.ts";

const KILLS = 20;
const root = mkdtempSync(join(tmpdir(), "holdfast-kill-"));
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

/** Starts the callee as a process of its own; resolves when it listens. */
async function startBob(dataDir: string, listen: string, ann: string): Promise<ChildProcess> {
  const program = join(import.meta.dirname, "testing", "counting-node.ts");
  const child = spawn(process.execPath, [...process.execArgv.filter((argument) => !argument.startsWith("--test")), "--conditions=holdfast-source", program, dataDir, listen, ann], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", (status) => reject(new Error(`the callee ended with ${status} before it was ready`)));
  });
  return child;
}

test(`kill -9: a callee killed ${KILLS} times counts every acknowledged call exactly once`, { timeout: 180_000 }, async (t) => {
  const [annDir, bobDir, listen] = [join(root, "ann"), join(root, "bob"), `/unix/${join(root, "run", "bob")}`];
  const [annId, bobId] = [openIdentity(annDir).peerId, openIdentity(bobDir).peerId];
  const log = openLog({ level: "silent", name: "ann" });
  let bob = await startBob(bobDir, listen, annId);
  const ann = await createNode({ name: "ann", dataDir: annDir, listen: null, peers: { bob: { id: bobId, addresses: [listen] } }, flows: countingFlows, log, engine: { redialMaxMs: 20 } });
  let calling = true;
  let calls = 0;
  const caller = async (name: string): Promise<void> => {
    for (let n = 0; calling; n++) {
      assert.deepEqual(await ann.run("ask-count", { key: `${name} ${n}` }), { n: 1 }, "counted once");
      calls++;
    }
  };
  const callers = Array.from({ length: 8 }, (_, n) => caller(`caller ${n}`));
  for (let kill = 0; kill < KILLS; kill++) {
    // Mostly in the middle of work; now and then before the link is up again.
    for (const before = calls; kill % 5 !== 0 && calls === before; ) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    const gone = new Promise((resolve) => bob.once("exit", resolve));
    bob.kill("SIGKILL");
    await gone;
    bob = await startBob(bobDir, listen, annId);
  }
  calling = false;
  await Promise.all(callers);
  t.diagnostic(`${calls} calls`);
  assert.ok(calls >= KILLS, `${calls} calls went on between the kills`);
  assert.equal(ann.status().executions + ann.status().parked, 0);
  await ann.close();
  const gone = new Promise((resolve) => bob.once("exit", resolve));
  bob.kill("SIGKILL");
  await gone;
  await using survivor = await createNode({ name: "bob", dataDir: bobDir, listen: null, flows: countingFlows, log });
  const counts = survivor.cells("counts").range({ limit: 1_000_000 });
  assert.equal(counts.length, calls);
  assert.deepEqual(counts.filter(([, count]) => count !== 1), []);
  assert.equal(survivor.status().executions, 0);
});
