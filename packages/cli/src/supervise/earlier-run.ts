import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RuntimeError } from "@holdfast/core";
import { ControlClient } from "@holdfast/host";
import { DRAIN_MS_MAX } from "./child-messages.ts";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

const POLL_MS = 100;

/**
 * Nodes whose supervisor was killed drain by themselves; the next one waits for that. One that a signal has stopped
 * cannot, so it is woken. Throws FLEET_BUSY, naming the process, if it is still there when a drain must have ended.
 */
export async function awaitEarlierRun(nodes: readonly NodeRecord[], data: string, say: (text: string) => void): Promise<void> {
  for (const { name, directory } of nodes) {
    const pid = pidOf(directory);
    const isAlive = () => pid !== undefined && isNode(pid, name, data);
    for (let waitedMs = 0; isAlive() || (await answers(directory)); waitedMs += POLL_MS) {
      if (waitedMs === 0) {
        say(`waiting for ${name} of an earlier run (process ${pid ?? "unknown"}) to drain`);
        if (isAlive()) process.kill(pid as number, "SIGCONT");
      }
      if (waitedMs > DRAIN_MS_MAX + 2_000) throw new RuntimeError("FLEET_BUSY", { node: name, pid: pid ?? "unknown", directory });
      await sleep(POLL_MS);
    }
  }
}

async function answers(directory: string): Promise<boolean> {
  try {
    (await ControlClient.open(directory)).close();
    return true;
  } catch {
    return false;
  }
}

function pidOf(directory: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(directory, "node.pid"), "utf8"), 10) || undefined;
  } catch {
    return undefined;
  }
}

/** Numbers of processes are used again: is this one that node of that fleet? Where it cannot be told, it is left alone. */
function isNode(pid: number, name: string, data: string): boolean {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return argv.includes("node") && argv.includes(name) && argv.includes(data);
  } catch {
    return false;
  }
}
