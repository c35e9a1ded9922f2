import { NS_PER_MS, type StoredNode } from "@holdfast/core";

/** A wall clock that jumped further than this while the node was down is not believed: 30 days, in ms. */
const DOWNTIME_MS_MAX = 30 * 24 * 3600 * 1000;

/** Engine time: whole ns since the node's first start ever; goes on over restarts and never goes back. */
export interface Clock {
  now(): number;
  wallMs(): number;
}

/** Goes on from the last commit: its engine time and the wall time that has passed since, 0 to 30 days. */
export function startClock(stored: Pick<StoredNode, "now" | "wallMs"> | undefined): Clock {
  const downMs = stored === undefined ? 0 : Math.min(Math.max(Date.now() - stored.wallMs, 0), DOWNTIME_MS_MAX);
  const startNs = (stored?.now ?? 1) + downMs * NS_PER_MS;
  const startedAt = performance.now();
  return {
    // Monotonic, and standing still while the machine is suspended: a suspension is our own pause.
    now: () => Math.floor(startNs + (performance.now() - startedAt) * NS_PER_MS),
    wallMs: () => Date.now(),
  };
}
