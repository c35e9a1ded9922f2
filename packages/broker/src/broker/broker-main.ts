/**
 * A broker's process: `--domain D --root DIR --services DIR [--idle-ms N|never] [--channel raw|public|auto]
 * [--handoff on|off] [--hellos-per-second N] [--allow-root]`. Whoever starts it is told once how that went: a process over Node's channel, else
 * people and service managers by a line and the exit status (2: starting it again would not help).
 */
import { parseArgs } from "node:util";
import { RuntimeError } from "@holdfast/core/peer";
import { ProcessLock } from "@holdfast/host/process-lock";
import { DomainDirectory } from "../runtime/domain-directory.ts";
import { rawChannelAvailable } from "../channel/raw-channel.ts";
import { Broker } from "./broker.ts";
import type { BrokerBirth } from "../client/start-broker.ts";
import type { ChannelKind } from "./backend-process.ts";

const { values } = parseArgs({
  options: {
    "domain": { type: "string" }, "root": { type: "string" }, "services": { type: "string" }, "allow-root": { type: "boolean", default: false },
    "idle-ms": { type: "string", default: "60000" }, "channel": { type: "string", default: "auto" }, "handoff": { type: "string" }, "hellos-per-second": { type: "string" },
  },
});

async function main(): Promise<void> {
  const { domain, root, services } = values;
  if (domain === undefined || root === undefined || services === undefined) throw new RuntimeError("OPTION_INVALID", { reason: "--domain, --root and --services are needed" });
  if (process.getuid?.() === 0 && !values["allow-root"] && process.env["HOLDFAST_ALLOW_ROOT"] !== "1") {
    throw new RuntimeError("BROKER_REFUSED", { reason: "it would run as root; HOLDFAST_ALLOW_ROOT=1 allows that" });
  }
  const directory = new DomainDirectory(domain, root);
  const broker = await Broker.open({
    directory, services, channel: values.channel as ChannelKind,
    idleMs: values["idle-ms"] === "never" ? Infinity : Number(values["idle-ms"]),
    ...(values["hellos-per-second"] === undefined ? {} : { hellosPerSecond: Number(values["hellos-per-second"]) }),
    // On by default only where it is measured to be faster than reconnecting (docs/BENCHMARKS.md): by the raw channel.
    handoff: values.handoff === undefined ? values.channel !== "public" && rawChannelAvailable() : values.handoff === "on",
  });
  if (broker === undefined) {
    process.exitCode = 1;
    return tell({ kind: "outrun" }, `${domain} has a broker already: process ${ProcessLock.holder(directory.lock) ?? "unknown"}`);
  }
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => broker.stop());
  tell({ kind: "listening" }, `process ${process.pid} is the broker of ${domain}, at ${directory.door}`);
  await broker.ended;
}

function tell(birth: BrokerBirth, text: string): void {
  if (process.connected) process.send?.(birth, undefined, undefined, () => process.disconnect?.());
  else if (birth.kind === "listening") console.log(text);
  else console.error(`holdfast: ${text}`);
}

try {
  await main();
  setTimeout(() => process.exit(), 100); // What was written last may leave.
} catch (error) {
  if (!(error instanceof RuntimeError)) throw error;
  tell({ kind: "failed", code: error.code, details: error.details }, error.message);
  setTimeout(() => process.exit(error.blame === "caller" ? 2 : 1), 100);
}
