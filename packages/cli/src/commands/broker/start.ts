import { becomeBroker, DomainDirectory, startBroker } from "@holdfast/broker";
import { START_MS_MAX } from "./operate.ts";
import { askBroker, openBroker, printJson } from "./running-brokers.ts";
import type { BecomeBrokerOptions, BrokerStatus } from "@holdfast/broker";

interface StartOptions {
  readonly domain: string;
  readonly allowRoot?: boolean;
  readonly json?: boolean;
}

/** Throws BROKER_REFUSED, BROKER_UNREACHABLE. */
export async function start({ domain, json, allowRoot = false }: StartOptions): Promise<void> {
  const directory = new DomainDirectory(domain);
  const started = (await askBroker(directory, "healthz"))?.state !== "up";
  if (started) await startBroker(directory, AbortSignal.timeout(START_MS_MAX), { allowRoot });
  using client = await openBroker(directory);
  const { pid } = (await client.ask("status")) as BrokerStatus;
  if (json === true) return printJson({ domain, pid, started });
  console.log(`process ${pid} is the broker of ${domain}${started ? "" : ", and was so before"}`);
}

/** Becomes the broker's process: the pid that a service manager knows stays the same. */
export function run({ domain, allowRoot = false, idleMs, channel, handoff }: StartOptions & Omit<BecomeBrokerOptions, "handoff"> & { handoff?: "on" | "off" }): void {
  becomeBroker(new DomainDirectory(domain), {
    allowRoot, ...(idleMs !== undefined && { idleMs }), ...(channel !== undefined && { channel }), ...(handoff !== undefined && { handoff: handoff === "on" }),
  });
}
