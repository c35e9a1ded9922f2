import { type Driver, type Engine, type ExecutionId, LINK_SITE, NS_PER_MS, STATUS_NAMES, type Value } from "@holdfast/core";
import type { ExecutionDetails, ExecutionSummary, NodeStatus, OperationReport, PeerReport } from "./node-api.ts";

type EngineState = Engine["state"];

/** Engine time as ms since 1970. */
function wallMs(state: EngineState, at: number): number {
  return Math.round(state.wallMs + (at - state.now) / NS_PER_MS);
}

function wallDue(state: EngineState, at: number | "never"): number | "never" {
  return at === "never" ? at : wallMs(state, at);
}

export function executionSummaries(state: EngineState): ExecutionSummary[] {
  const running = [...state.executions.values()].map((execution): ExecutionSummary => ({
    id: execution.id, flow: execution.program.program.name, state: "running", origin: execution.origin.kind,
    startedAtMs: wallMs(state, execution.startedAt), endedAtMs: null,
  }));
  const finished = [...state.finished.values()].map((execution): ExecutionSummary => ({
    id: execution.id, flow: execution.flow, state: execution.ok ? "completed" : "failed", origin: "application",
    startedAtMs: wallMs(state, execution.startedAt), endedAtMs: wallMs(state, execution.endedAt),
  }));
  return [...running, ...finished];
}

export function executionDetails(state: EngineState, id: ExecutionId): ExecutionDetails | undefined {
  const summary = executionSummaries(state).find((one) => one.id === id);
  if (summary === undefined) return undefined;
  const execution = state.executions.get(id);
  if (execution === undefined) {
    const outcome = state.finished.get(id)?.outcome ?? null;
    return { ...summary, deadlineAtMs: "never", operations: [], outcome };
  }
  const operations = execution.program.operations.map((operation, index): OperationReport => {
    const commandId = execution.commands.get(index);
    const command = commandId === undefined ? undefined : state.commands.get(commandId);
    const map = execution.maps.get(index);
    const items = map === undefined ? undefined : execution.valueAt(operation.inputs[0] as number);
    return {
      name: operation.name, kind: operation.kind, state: STATUS_NAMES[execution.status[index] as number] as string,
      waitsFor: command === undefined ? (map === undefined ? null : `${map.inFlight.size} children`) : waitsFor(command),
      untilMs: command === undefined ? null : wallDue(state, command.due),
      progress: map === undefined ? null
        : { settled: map.settled, total: Array.isArray(items) ? items.length : 0, failed: map.failed, inFlight: map.inFlight.size },
    };
  });
  return { ...summary, deadlineAtMs: wallDue(state, execution.deadlineAt), operations, outcome: null };
}

function waitsFor(command: { kind: string; subject: Value; attempt: number; attempts: readonly { peer: string; state: string }[] }): string {
  switch (command.kind) {
    case "request": return `a reply (${command.attempts.map(({ peer, state }) => `${peer}: ${state}`).join(", ")})`;
    case "event": return `the event ${String(command.subject)}`;
    case "host": return `host work, start ${command.attempt}`;
    case "gate": return "a peer that may be asked";
    case "output": return "the application to take an output";
    default: return `a ${command.kind}`;
  }
}

export function peerReports(state: EngineState): PeerReport[] {
  return [...state.peers.values()].filter((peer) => peer.references.size > 0 || peer.link !== null).map((peer): PeerReport => {
    const policy = state.governor.checkInbound(peer.id);
    const health = state.governor.peerHealth(peer.id);
    const retryAt = state.backoff.retryAt(peer.id);
    const sites = [LINK_SITE, ...peer.flowsAsked].flatMap((asked) => {
      const site = peer.site(asked);
      const explained = state.tracker.explain(site, state.options.perHopBudgetNs, { via: peer.linkSite, now: state.awake });
      if (explained === undefined) return [];
      return [{
        site: asked, srttMs: explained.rtt.srttNs / NS_PER_MS, samples: explained.rtt.sampleCount,
        deadlineMs: explained.budgetNs / NS_PER_MS, tier: explained.tier,
      }];
    });
    return {
      id: peer.id, name: peer.name, linked: peer.link?.sendReady === true, incarnation: peer.link?.incarnation ?? null,
      verdict: peer.siteVerdict, governorDown: state.governor.isDown(peer.id),
      consecutiveFailures: health?.consecutiveFailures ?? 0, cooldownMs: Math.max(0, (retryAt - state.now) / NS_PER_MS),
      policy: policy.allow ? "allowed" : policy.reason, phi: state.tracker.watch.phi(peer.linkSite, state.awake),
      inFlight: peer.inFlight, unacknowledged: peer.session.outbox.length, ...peer.counts,
      historyLost: peer.historyLost, addresses: [...peer.addresses], sites: [...new Map(sites.map((site) => [site.site, site])).values()],
    };
  });
}

export function nodeStatus(
  driver: Driver, given: { name: string; addresses: readonly string[]; fence: number; startedAtMs: number },
): NodeStatus {
  const { state } = driver.engine;
  return {
    name: given.name, id: state.identity.peer, addresses: given.addresses, pid: process.pid,
    incarnation: state.identity.incarnation, lineage: state.identity.lineage, fence: given.fence, position: driver.position,
    uptimeMs: Date.now() - given.startedAtMs, executions: state.executions.size, parked: state.commands.size,
    finished: state.finished.size, frontier: state.frontier.size, timers: state.timers.size,
    peersLinked: [...state.peers.values()].filter((peer) => peer.link?.sendReady === true).length,
    draining: state.draining, residentBytes: process.memoryUsage.rss(), counters: Object.fromEntries(state.counters),
    flows: [...state.definitions.flows.keys()].sort(),
  };
}
