import { runtimeRoot } from "@holdfast/broker";
import { tableText } from "../table.ts";
import { spanText } from "../time-text.ts";
import { askBrokers, printJson } from "./running-brokers.ts";
import type { BackendStatus, BrokerStatus } from "@holdfast/broker";
import type { DomainOptions, Reply } from "./running-brokers.ts";

/** The exit status: 1 if no broker runs. */
export async function status({ domain, json }: DomainOptions): Promise<number> {
  const replies = await askBrokers<BrokerStatus>(domain, "status");
  if (json === true) printJson({ brokers: replies.map(jsonOf) });
  else console.log(replies.length === 0 ? noneText(domain) : replies.map(brokerText).join("\n"));
  return replies.some(({ state }) => state === "up") ? 0 : 1;
}

export function noneText(domain: string | undefined): string {
  return `no broker ${domain === undefined ? "" : `of ${domain} `}runs (${runtimeRoot()}); the first client that needs one starts it`;
}

function jsonOf(reply: Reply<BrokerStatus>) {
  return reply.state === "up"
    ? { domain: reply.answer.domain, state: reply.state, pid: reply.answer.pid, status: reply.answer }
    : { domain: reply.domain, state: reply.state, pid: reply.pid, status: null };
}

function brokerText(reply: Reply<BrokerStatus>): string {
  if (reply.state === "silent") return `${reply.domain}: process ${reply.pid ?? "unknown"} is the broker and does not answer`;
  const { domain, pid, uptimeMs, residentBytes, connections, stopping, descriptors, lease, backends } = reply.answer;
  const share = descriptors.usedShare === null ? "" : `, ${Math.round(descriptors.usedShare * 100)} % of its descriptors in use`;
  const line = `${domain}: process ${pid}, up ${spanText(uptimeMs)}, ${memoryText(residentBytes)}, connections open besides this one: ${Math.max(0, connections - 1)}${share}` +
    `${descriptors.high ? " (too many: new clients are refused)" : ""}${lease === null ? "" : `, leased by process ${lease.pid}`}${stopping ? ", shutting down" : ""}`;
  if (backends.length === 0) return `${line}\nno backend runs`;
  return `${line}\n${tableText(["service", "version", "build", "pid", "state", "adopted", "channel", "up"], backends.map(backendRow))}`;
}

function backendRow({ service, version, build, pid, state, adopted, channel, uptimeMs }: BackendStatus): (string | number)[] {
  return [service, version, build, pid === 0 ? "-" : pid, state, adopted ? "yes" : "no", channel ?? "-", uptimeMs === 0 ? "-" : spanText(uptimeMs)];
}

function memoryText(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
