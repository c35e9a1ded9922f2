import { flushCompileCache } from "node:module";
import { serve, tellBroker, tellUnable } from "@holdfast/broker";
import { RuntimeError } from "@holdfast/core";
import { ControlServer, createNode } from "@holdfast/host";
import { loadFleet } from "../fleet/load-fleet.ts";
import { NodeLog } from "./node-log.ts";
import type { Backend } from "@holdfast/broker";
import type { NodeOptions, PolicyItem } from "@holdfast/host";
import type { FleetDirectory, FleetRecord, NodeRecord } from "../fleet/fleet-directory.ts";
import type { NodePlan } from "../fleet/define-fleet.ts";

/** Faults that are not the caller's, and that starting again does not mend either. */
const FINAL_CODES: readonly string[] = ["STORE_DAMAGED", "STORE_BUSY", "SNAPSHOT_INVALID", "IDENTITY_INVALID"];
/** What a drain may take before the process ends anyway; a little more than the node allows itself. */
const DRAIN_MS_MAX = 10_500;

/**
 * Runs one node of a fleet in this process until it is told to stop, and returns the exit status. As a service of the fleet's
 * broker it is told so by a quiesce; by hand, by a signal. A broker that ends is no reason: the next one takes the node over.
 */
export async function runNode(file: string, name: string, directory: FleetDirectory): Promise<number> {
  const stop = stopRequested();
  const record = recordOf(directory.read(), name);
  let backend: Backend | undefined;
  using log = new NodeLog(record, (message) => (backend === undefined ? tellBroker(message) : backend.tell(message)));
  try {
    const fleet = await loadFleet(file);
    // Now and not when the process ends: on a busy machine that made a drain take seconds, and a killed node never did it.
    flushCompileCache();
    await using node = await createNode({ ...nodeOptions(fleet.node(name), directory), log });
    const control = new ControlServer(node);
    backend = await serve({ ...record.service, info: { id: node.id, addresses: node.addresses } }, (socket) => control.accept(socket));
    const reason = await Promise.race([stop, drained(backend), node.failed]);
    log.info({ reason }, "draining");
    setTimeout(() => process.exit(1), DRAIN_MS_MAX).unref();
    await node.close();
    control.close(); // Last: whoever wants to know whether the node is still there asks here.
    await backend.close(0);
    return 0;
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    log.error({ code: error.code }, error.message);
    if (error.blame !== "caller" && !FINAL_CODES.includes(error.code)) return 1;
    tellUnable(error.code, error.message);
    return 2;
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
  const idOf = (who: string) => record.nodes.find((node) => node.name === who)?.id ?? who;
  const ids = (items: readonly (string | PolicyItem)[]) => items.map((item) => (typeof item === "string" ? idOf(item) : { ...item, who: idOf(item.who) }));
  const { block, allow } = plan.policy;
  return {
    name: plan.name,
    dataDir: own.directory,
    listen: own.address,
    peers: { ...plan.remotePeers, ...Object.fromEntries(locals) },
    groups: plan.groups,
    policy: { ...(block && { block: ids(block) }), ...(allow !== undefined && { allow: allow && ids(allow) }) },
    flows: plan.flows,
    engine: plan.engine,
  };
}

function recordOf(record: FleetRecord, name: string): NodeRecord {
  const found = record.nodes.find((node) => node.name === name);
  if (found === undefined) throw new RuntimeError("FLEET_INVALID", { node: name, reason: "the fleet's record lacks it; start the fleet with holdfast up" });
  return found;
}

function stopRequested(): Promise<string> {
  return new Promise((done) => {
    for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) process.on(signal, () => done(signal));
  });
}

function drained(backend: Backend): Promise<string> {
  return new Promise((done) => backend.draining.addEventListener("abort", () => done("quiesced"), { once: true }));
}
