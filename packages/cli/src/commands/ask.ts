import { RuntimeError } from "@holdfast/core";
import { tagged, untagged } from "@holdfast/host";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { openControl } from "../supervise/node-control.ts";
import type { Value } from "@holdfast/core";
import type { ControlClient } from "@holdfast/host";

/** Which node of which fleet a command means. */
export interface Target {
  readonly data?: string;
  readonly node?: string;
}

/** Asks a running node. Throws NOT_FOUND, and NODE_UNREACHABLE naming the node if it does not run. */
export async function ask<Answer>({ data, node }: Target, question: (client: ControlClient) => Promise<Answer>): Promise<Answer> {
  using client = await openControl(FleetDirectory.find(data).node(node));
  return await question(client);
}

/** A value from the command line; bigints and bytes as the control protocol writes them. Throws OPTION_INVALID. */
export function parseJson(option: string, text: string): Value {
  try {
    return untagged(JSON.parse(text)) as Value;
  } catch (error) {
    throw new RuntimeError("OPTION_INVALID", { option, reason: (error as Error).message }, { cause: error });
  }
}

export function jsonText(value: unknown, indent: number | undefined = 2): string {
  return JSON.stringify(tagged(value), null, indent);
}
