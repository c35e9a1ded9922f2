import type { HandoffChannel, OfferAnswer } from "../channel/handoff-channel.ts";
import type { ServiceKey } from "../runtime/domain-directory.ts";

/** How a backend's process ended. */
export interface BackendExit {
  readonly how: string;
  /** The end of what it wrote to stdout and stderr since this broker has known it; empty if it was started by hand. */
  readonly output: string;
  /** It said that starting it again would not help. */
  readonly unable?: { readonly code: string; readonly message: string } | undefined;
}

/** A backend as the broker uses it, whether this broker has started it or found it. */
export interface RunningBackend {
  readonly key: ServiceKey;
  readonly endpoint: string;
  readonly pid: number;
  /** It outlived an earlier broker, or was started by hand. */
  readonly adopted: boolean;
  /** What it says of itself. */
  readonly info: unknown;
  /** It takes no more connections. */
  readonly draining: boolean;
  /** On performance.now()'s clock. */
  readonly startedAtMs: number;
  /** Undefined: connections cannot be passed to it. */
  readonly channel: HandoffChannel | undefined;
  readonly exited: Promise<BackendExit>;
  onAnswer: (answer: OfferAnswer) => void;
  onChannelLost: () => void;
  onTold: (message: unknown) => void;
  /** Asks it to take no more connections, and to end those that it has within this. */
  quiesce(withinMs: number): void;
  signal(signal: NodeJS.Signals): void;
}
