import * as v from "valibot";
import { checkMessage } from "../protocol/message-stream.ts";
import { ServiceName } from "../protocol/messages.ts";
import { refusal } from "../protocol/refusal.ts";
import { domainOf } from "../services/service-definition.ts";
import type { Broker } from "./broker.ts";
import type { RunningBackend } from "./running-backend.ts";

const Upgrade = v.object({ service: ServiceName, version: v.string() });
const Quiesce = v.object({ service: v.optional(ServiceName) });
const Shutdown = v.object({ leaveBackends: v.optional(v.boolean(), false) });

/** What an operator can ask of a broker. Throws RefusedError. */
export async function operate(broker: Broker, verb: string, params: Record<string, unknown>): Promise<unknown> {
  switch (verb) {
    case "status": return status(broker);
    case "healthz": return { ok: true };
    case "readyz": return readiness(broker);
    case "metrics": return broker.metrics.text();
    case "services": return services(broker);
    case "upgrade": {
      const { service, version } = checkMessage(Upgrade, params);
      return await broker.upgrade(service, version);
    }
    case "quiesce": return { drained: await broker.quiesce(checkMessage(Quiesce, params).service) };
    case "shutdown": {
      const { leaveBackends } = checkMessage(Shutdown, params);
      const drained = leaveBackends ? [] : broker.pool.list().map(nameOf);
      setImmediate(() => void broker.shutdown(leaveBackends));
      await broker.ended;
      return { drained };
    }
    default: throw refusal("internal", `nobody knows what ${verb} means`, { verb });
  }
}

export interface BrokerStatus {
  readonly domain: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly residentBytes: number;
  readonly connections: number;
  readonly stopping: boolean;
  readonly handoffByDefault: boolean;
  readonly descriptors: { readonly usedShare: number | null; readonly high: boolean };
  readonly lease: { readonly pid: number } | null;
  readonly backends: readonly BackendStatus[];
}

export interface BackendStatus {
  readonly service: string;
  readonly version: string;
  readonly build: string;
  readonly pid: number;
  readonly state: "starting" | "running" | "draining" | "waiting" | "ended";
  readonly adopted: boolean;
  readonly uptimeMs: number;
  /** How connections are passed to it; null: they are not. */
  readonly channel: "public" | "raw" | null;
  readonly endpoint: string | null;
}

function status(broker: Broker): BrokerStatus {
  const { lease, door: { pressure } } = broker;
  const live = broker.pool.list().map(backendStatus);
  const starting = broker.pool.starting.map(({ key, pid }) => absent(key, pid, "starting"));
  const down = (lease?.services ?? []).filter(({ state }) => state === "waiting" || state === "ended").map(({ plan, state }) => absent(plan.key, 0, state));
  return {
    domain: broker.directory.domain, pid: process.pid, uptimeMs: broker.uptimeMs, residentBytes: process.memoryUsage.rss(),
    connections: broker.door.open, stopping: broker.isStopping, handoffByDefault: broker.handoffDefault,
    descriptors: { usedShare: pressure.usedShare ?? null, high: pressure.isHigh },
    lease: lease === undefined ? null : { pid: lease.pid },
    backends: [...live, ...starting, ...down],
  };
}

function backendStatus(backend: RunningBackend): BackendStatus {
  return {
    ...backend.key, pid: backend.pid, state: backend.draining ? "draining" : "running", adopted: backend.adopted,
    uptimeMs: Math.round(performance.now() - backend.startedAtMs), channel: backend.channel?.kind ?? null, endpoint: backend.endpoint,
  };
}

function absent(key: BackendStatusKey, pid: number, state: BackendStatus["state"]): BackendStatus {
  return { ...key, pid, state, adopted: false, uptimeMs: 0, channel: null, endpoint: null };
}

type BackendStatusKey = Pick<BackendStatus, "service" | "version" | "build">;

function readiness(broker: Broker) {
  const reason = broker.isStopping ? "shutting-down" : broker.door.pressure.isHigh ? "fd-pressure" : null;
  return { ready: reason === null, reason };
}

/** What is defined, for this domain and for others. */
function services(broker: Broker) {
  return broker.catalogue.list().map(({ service, definition, fault, current }) => ({
    service, fault, current, domain: definition === null ? null : domainOf(definition),
    running: broker.pool.list().filter(({ key }) => key.service === service).map(({ key, pid }) => ({ version: key.version, pid })),
  }));
}

function nameOf({ key }: RunningBackend): string {
  return `${key.service}@${key.version}`;
}
