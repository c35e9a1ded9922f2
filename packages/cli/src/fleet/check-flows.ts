import { compileFlows, RuntimeError } from "@holdfast/core";
import type { Operation, Program } from "@holdfast/core";
import type { Fleet, NodePlan } from "./define-fleet.ts";

/**
 * Compiles every node's flows, and checks that the groups and peers which they name exist. Throws FLOW_INVALID and
 * FLEET_INVALID, naming node, flow and operation.
 */
export function checkFlows(fleet: Fleet): void {
  const checked = new Set<NodePlan["flows"]>();
  for (const plan of fleet.nodes.values()) {
    if (checked.has(plan.flows)) continue;
    checked.add(plan.flows);
    const { programs, flows } = compileFlows(plan.flows);
    for (const program of programs.values()) {
      for (const operation of program.operations) checkTarget(fleet, plan, program, operation);
    }
    const job = fleet.job;
    if (job?.node === plan.name && !flows.has(job.flow.name)) {
      throw new RuntimeError("FLEET_INVALID", { at: "job.flow", reason: `the node ${plan.name} has no flow ${job.flow.name}` });
    }
  }
  checkProgress(fleet);
}

/** All nodes of a fleet share its flows, so a group or peer must be known to some node, and need not be to all. */
function checkTarget(fleet: Fleet, plan: NodePlan, program: Program, operation: Operation): void {
  const refuse = (reason: string) =>
    new RuntimeError("FLEET_INVALID", { node: plan.name, flow: program.name, operation: operation.name, reason });
  const plans = [...fleet.nodes.values()];
  if (operation.kind === "select" && !plans.some(({ groups }) => Object.hasOwn(groups, operation.group))) {
    throw refuse(`no group is called ${operation.group}`);
  }
  if (operation.kind !== "gate") return;
  const target = program.operations.find(({ outputs }) => outputs.includes(operation.inputs[0] as number));
  const peer = target?.kind === "constant" ? (target.value as { readonly peer?: unknown } | null)?.peer : undefined;
  if (typeof peer !== "string" || looksLikeId(peer)) return;
  if (plans.some(({ localPeers, remotePeers }) => localPeers.includes(peer) || Object.hasOwn(remotePeers, peer))) return;
  throw refuse(`no peer is called ${peer}`);
}

function looksLikeId(peer: string): boolean {
  return /^[1-9A-HJ-NP-Za-km-z]{40,}$/.test(peer);
}

function checkProgress({ job }: Fleet): void {
  if (job === undefined) return;
  const operation = job.flow.draft().program.operations.find(({ name }) => name === job.progress);
  if (operation?.kind === "map-flow") return;
  throw new RuntimeError("FLEET_INVALID", { at: "job.progress", flow: job.flow.name, operation: job.progress, reason: "no map of this name" });
}
