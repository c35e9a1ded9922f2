import { join } from "node:path";
import { RuntimeError } from "@holdfast/core";
import { ProcessLock } from "@holdfast/host/process-lock";

/** Keeps a second `holdfast up` off a fleet. Throws FLEET_BUSY, naming the process that holds it. */
export function takeFleetLock(directory: string): ProcessLock {
  const path = join(directory, "up.lock");
  const lock = ProcessLock.tryTake(path);
  if (lock === undefined) throw new RuntimeError("FLEET_BUSY", { directory, pid: ProcessLock.holder(path) ?? "unknown" });
  return lock;
}
