import { captureRows, type Driver, encodeSnapshot } from "@holdfast/core";

/** The whole state between two turns, as one versioned value. */
export function snapshotOf(driver: Driver, fence: number): Uint8Array {
  return encodeSnapshot(captureRows(driver.engine.state), { fence, position: driver.position });
}
