import { readFileSync } from "node:fs";
import { RuntimeError } from "@holdfast/core";
import { restoreNode } from "@holdfast/host";
import { FleetDirectory } from "../fleet/fleet-directory.ts";

export interface RestoreOptions {
  readonly data?: string;
  readonly newLineage?: boolean;
}

export async function restore(node: string, file: string | undefined, { data, newLineage = false }: RestoreOptions): Promise<void> {
  if (file === undefined && !newLineage) {
    throw new RuntimeError("OPTION_INVALID", { reason: "without a snapshot there is nothing to restore, unless the history is given up: --new-lineage" });
  }
  const { directory } = FleetDirectory.find(data).node(node);
  const snapshot = file === undefined ? {} : { snapshot: readSnapshotFile(file) };
  const { rows, lineage, backup } = await restoreNode(directory, { ...snapshot, newLineage });
  console.log(`${node} is restored: ${rows === 0 ? "it starts with nothing" : `${rows} rows`}, ${lineageText(rows, lineage)}`);
  if (backup !== null) console.log(`what was there before is in ${backup}`);
}

function lineageText(rows: number, lineage: string | null): string {
  if (lineage !== null) return `new lineage ${lineage}`;
  return rows === 0 ? "and draws a new lineage at its start" : "its lineage goes on";
}

function readSnapshotFile(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new RuntimeError("OPTION_INVALID", { file, reason: (error as Error).message }, { cause: error });
  }
}
