import { connect, RefusedError } from "@holdfast/broker";
import { RuntimeError } from "@holdfast/core";
import { ControlClient } from "@holdfast/host";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

export interface OpenControlOptions {
  /** Wait while the broker starts the node again. Without it the node must be running. */
  readonly isPatient?: boolean;
  readonly signal?: AbortSignal;
}

/** A control connection to a node of a fleet. Throws NODE_UNREACHABLE if it does not run. */
export async function openControl({ name, service }: NodeRecord, { isPatient = false, signal }: OpenControlOptions = {}): Promise<ControlClient> {
  try {
    const { socket } = await connect({ ...service, broker: isPatient ? "use" : "never", ...(signal === undefined ? {} : { signal }) });
    return new ControlClient(socket);
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    if (error instanceof RefusedError || error instanceof RuntimeError) {
      throw new RuntimeError("NODE_UNREACHABLE", { node: name, reason: error.message }, { cause: error });
    }
    throw error;
  }
}
