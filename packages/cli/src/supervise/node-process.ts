import { writeFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { RuntimeError } from "@holdfast/core";
import { createNode, serveControl } from "@holdfast/host";
import { loadFleet } from "../fleet/load-fleet.ts";
import { DRAIN_MS_MAX, EXIT_USAGE } from "./child-messages.ts";
import { jsonLog } from "./log-line.ts";
import type { NodeOptions } from "@holdfast/host";
import type { FleetDirectory, FleetRecord } from "../fleet/fleet-directory.ts";
import type { NodePlan } from "../fleet/define-fleet.ts";
import type { ChildMessage } from "./child-messages.ts";

/** Faults that are not the caller's, and that starting again does not mend either. */
const FINAL_CODES: readonly string[] = ["STORE_DAMAGED", "STORE_BUSY", "SNAPSHOT_INVALID", "IDENTITY_INVALID"];

/**
 * Runs one node of a fleet in this process until it is told to stop, and returns the exit status. It stops by SIGTERM,
 * and by the end of its supervisor, which closes the channel between them however it ends. A terminal sends its SIGINT
 * to all processes at once; under a supervisor that is left to the supervisor, which drains in order.
 */
export async function runNode(file: string, name: string, directory: FleetDirectory): Promise<number> {
  const stop = stopRequested();
  const log = jsonLog(name);
  try {
    const fleet = await loadFleet(file);
    // Now and not when the process ends: on a busy machine that made a drain take seconds, and a killed node never did it.
    flushCompileCache();
    const options = nodeOptions(fleet.node(name), directory);
    await using node = await createNode({ ...options, log });
    writeFileSync(join(options.dataDir as string, "node.pid"), `${process.pid}\n`, { mode: 0o600 });
    const control = await serveControl(node, options.dataDir as string);
    tell({ kind: "ready", id: node.id, addresses: node.addresses });
    const reason = await Promise.race([stop, node.failed]);
    log.info({ reason }, "draining");
    setTimeout(() => process.exit(1), DRAIN_MS_MAX).unref();
    await node.close();
    await control.close(); // Last: whoever wants to know whether the node is still there asks here.
    return 0;
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    log.error({ code: error.code }, error.message);
    if (error.blame !== "caller" && !FINAL_CODES.includes(error.code)) return 1;
    tell({ kind: "refused", code: error.code, message: error.message });
    return EXIT_USAGE;
  }
}

/** What the fleet file and the fleet's record say of a node, as the node takes it. */
export function nodeOptions(plan: NodePlan, directory: FleetDirectory): NodeOptions {
  const record = directory.read();
  const own = recordOf(record, plan.name);
  const locals = plan.localPeers.map((peer) => {
    const { id, address } = recordOf(record, peer);
    return [peer, { id, addresses: address === null ? [] : [address] }] as const;
  });
  // A policy may name nodes of the fleet that are none of this node's peers.
  const ids = (names: readonly string[]) => names.map((peer) => record.nodes.find((node) => node.name === peer)?.id ?? peer);
  const { block, allow } = plan.policy;
  return {
    name: plan.name,
    dataDir: own.directory,
    listen: own.address,
    peers: { ...plan.remotePeers, ...Object.fromEntries(locals) },
    groups: plan.groups,
    policy: { ...(block && { block: ids(block) }), ...(allow !== undefined && { allow: allow && ids(allow) }) },
    flows: plan.flows,
  };
}

function recordOf(record: FleetRecord, name: string) {
  const found = record.nodes.find((node) => node.name === name);
  if (found === undefined) throw new RuntimeError("FLEET_INVALID", { node: name, reason: "the fleet's record lacks it; start the fleet with holdfast up" });
  return found;
}

function stopRequested(): Promise<string> {
  const supervised = process.connected;
  return new Promise((done) => {
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => done(signal));
    process.on("SIGINT", () => {
      if (!supervised) done("SIGINT");
    });
    if (supervised) process.once("disconnect", () => done("the supervisor ended"));
  });
}

function tell(message: ChildMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
