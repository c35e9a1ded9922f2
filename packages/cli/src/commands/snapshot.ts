import { writeFileSync } from "node:fs";
import { describeSnapshot, RuntimeError } from "@holdfast/core";
import { ControlClient, readSnapshot } from "@holdfast/host";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { jsonText } from "./ask.ts";

export interface SnapshotOptions {
  readonly data?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** What a node has stored, readable: from the node while it runs, else from its store. */
export async function snapshot(node: string, { data, out, json }: SnapshotOptions): Promise<void> {
  const { directory } = FleetDirectory.find(data).node(node);
  const bytes = await takeSnapshot(directory);
  if (out !== undefined) {
    writeFileSync(out, bytes, { mode: 0o600 });
    return console.log(`${bytes.length} bytes in ${out}`);
  }
  console.log(jsonText(describeSnapshot(bytes), json === true ? 0 : 2));
}

async function takeSnapshot(directory: string): Promise<Uint8Array> {
  try {
    using client = await ControlClient.open(directory);
    return await client.snapshot();
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "NODE_UNREACHABLE") throw error;
    return readSnapshot(directory);
  }
}
