import type { AttemptReport } from "./call.ts";

/** One message on it for each attempt that is over: `AttemptReport`. */
export const ATTEMPT_CHANNEL = "holdfast:attempt";

/** Where attempts are published, if there is such a thing on this platform. */
export interface AttemptChannel {
  readonly hasSubscribers: boolean;
  publish(report: AttemptReport): void;
}

/** Undefined where the platform has none. */
export function openAttemptChannel(): AttemptChannel | undefined {
  const { getBuiltinModule } = globalThis.process ?? {};
  return getBuiltinModule?.("node:diagnostics_channel")?.channel(ATTEMPT_CHANNEL);
}
