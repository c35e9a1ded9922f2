import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { openControl } from "../supervise/node-control.ts";
import { jsonText } from "./ask.ts";
import { tableText } from "./table.ts";
import { spanText } from "./time-text.ts";
import type { NodeStatus } from "@holdfast/host";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

/** A node that is stopped by a signal takes the question and never answers. */
const PATIENCE_MS = 2_000;

interface NodeState {
  readonly node: string;
  readonly id: string;
  readonly address: string | null;
  readonly state: "up" | "down" | "silent";
  readonly status: NodeStatus | null;
}

export async function status({ data, json }: { readonly data?: string; readonly json?: boolean }): Promise<void> {
  const directory = FleetDirectory.find(data);
  const states = await Promise.all(directory.read().nodes.map(stateOf));
  if (json === true) return console.log(jsonText({ fleet: directory.read().name, data: directory.path, nodes: states }));
  const head = ["node", "state", "pid", "up", "incarnation", "executions", "peers linked", "memory", "position", "address"];
  console.log(tableText(head, states.map(({ node, state, status: known, address }) => known === null
    ? [node, state, "-", "-", "-", "-", "-", "-", "-", address ?? "-"]
    : [
        node, known.draining ? "draining" : state, known.pid, spanText(known.uptimeMs), known.incarnation, known.executions, known.peersLinked,
        `${Math.round(known.residentBytes / 1e6)} MB`, known.position, address ?? "-",
      ])));
}

async function stateOf(record: NodeRecord): Promise<NodeState> {
  const { name, id, address } = record;
  const known = { node: name, id, address };
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    using client = await openControl(record, { signal: patience });
    const silent = new Promise<undefined>((done) => patience.addEventListener("abort", () => done(undefined)));
    const answer = await Promise.race([client.call("status", {}), silent]);
    return answer === undefined ? { ...known, state: "silent", status: null } : { ...known, state: "up", status: answer };
  } catch {
    return { ...known, state: patience.aborted ? "silent" : "down", status: null };
  }
}
