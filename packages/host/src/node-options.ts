import { ENGINE_DEFAULTS, type EngineOptions, engineOptions, NS_PER_MS, parsePeerId, RuntimeError } from "@holdfast/core";
import type { NodeOptions } from "./node-api.ts";
import { policyLists } from "./node-policy.ts";

const KNOWN: ReadonlySet<string> = new Set<keyof NodeOptions>([
  "name", "dataDir", "listen", "peers", "groups", "policy", "flows", "engine", "parkMissing", "log",
]);

/** An address, as peers are told it: the wire holds 256 bytes. */
const ADDRESS_BYTES_MAX = 256;

/** Checks once what `createNode` was given. Throws OPTION_INVALID naming the option, PEER_ID_INVALID. */
export function checkNodeOptions(given: NodeOptions): NodeOptions {
  for (const name of Object.keys(given)) if (!KNOWN.has(name)) throw invalid(name, "unknown");
  if (typeof given.name !== "string" || !/^[\w.-]{1,64}$/.test(given.name)) throw invalid("name", "1 to 64 of A–Z a–z 0–9 _ . -");
  if (given.dataDir !== null && typeof given.dataDir !== "string") throw invalid("dataDir", "a path, or null for a node in memory");
  if (!Array.isArray(given.flows)) throw invalid("flows", "a list of flows");
  if (given.listen !== undefined && given.listen !== null) checkAddress("listen", given.listen);
  const ids = new Map<string, string>();
  for (const [name, { id, addresses }] of Object.entries(given.peers ?? {})) {
    const other = ids.get(parsePeerId(id));
    if (other !== undefined) throw invalid(`peers.${name}`, `another id than peers.${other}`);
    ids.set(id, name);
    for (const address of addresses) checkAddress(`peers.${name}.addresses`, address);
  }
  for (const [group, names] of Object.entries(given.groups ?? {})) {
    for (const name of names) if (given.peers?.[name] === undefined) throw invalid(`groups.${group}`, `names of peers; ${name} is none`);
  }
  policyLists(given);
  return given;
}

/** Engine options in whole ns. Throws OPTION_INVALID naming the option. */
export function engineOptionsFromMs({ engine = {}, parkMissing = false }: Pick<NodeOptions, "engine" | "parkMissing">): EngineOptions {
  const converted: Record<string, unknown> = { parkMissing };
  for (const [name, value] of Object.entries(engine)) {
    const inNs = name.endsWith("Ms") ? `${name.slice(0, -2)}Ns` : name;
    if (!(inNs in ENGINE_DEFAULTS) || name.endsWith("Ns")) throw invalid(`engine.${name}`, "known");
    converted[inNs] = name.endsWith("Ms") ? Math.round((value as number) * NS_PER_MS) : value;
  }
  return engineOptions(converted as Partial<EngineOptions>);
}

function checkAddress(option: string, address: string): void {
  const bytes = Buffer.byteLength(address);
  if (!address.startsWith("/") || bytes > ADDRESS_BYTES_MAX) throw invalid(option, `multiaddrs of at most ${ADDRESS_BYTES_MAX} bytes`);
}

function invalid(option: string, expected: string): RuntimeError {
  return new RuntimeError("OPTION_INVALID", { option, expected });
}
