import { writeFileSync } from "node:fs";
import { describeSnapshot, RuntimeError } from "@holdfast/core";
import { readSnapshot } from "@holdfast/host";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { openControl } from "../supervise/node-control.ts";
import { jsonText } from "./ask.ts";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

export interface SnapshotOptions {
  readonly data?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** What a node has stored, readable: from the node while it runs, else from its store. */
export async function snapshot(node: string, { data, out, json }: SnapshotOptions): Promise<void> {
  const bytes = await takeSnapshot(FleetDirectory.find(data).node(node));
  if (out !== undefined) {
    writeFileSync(out, bytes, { mode: 0o600 });
    return console.log(`${bytes.length} bytes in ${out}`);
  }
  console.log(jsonText(describeSnapshot(bytes), json === true ? 0 : 2));
}

async function takeSnapshot(node: NodeRecord): Promise<Uint8Array> {
  try {
    using client = await openControl(node);
    return await client.snapshot();
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "NODE_UNREACHABLE") throw error;
    return readSnapshot(node.directory);
  }
}
