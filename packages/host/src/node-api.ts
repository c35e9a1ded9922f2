import type { AnyFlow, BusEvent, EngineOptions, Failure, PeerId, Value } from "@holdfast/core";

/** What `createNode` takes. Durations in ms, as everywhere above core. */
export interface NodeOptions {
  /** What the node is called in logs and in fleet files. */
  readonly name: string;
  /** Where key and state live (made with mode 0700). Null: in memory only, nothing survives. */
  readonly dataDir: string | null;
  /** Multiaddr to listen on. Default: loopback, a free port. Null: only dial. */
  readonly listen?: string | null;
  /** Whom this node talks to, by the name it uses for them. Unlisted peers may still dial in, if policy lets them. */
  readonly peers?: Readonly<Record<string, PeerAddress>>;
  /** Names of peers, by group, for `select`. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** Peer ids, or names of `peers`. `allow: null` (the default) admits everybody not blocked. */
  readonly policy?: { readonly block?: readonly string[]; readonly allow?: readonly string[] | null };
  readonly flows: readonly AnyFlow[];
  readonly engine?: Partial<EngineTimings>;
  /** Start although definitions are missing; the executions concerned stay parked. */
  readonly parkMissing?: boolean;
  readonly log?: Log;
}

export interface PeerAddress {
  /** Base58 peer id. */
  readonly id: string;
  /** Multiaddrs at which it may be dialled; none: it dials us. */
  readonly addresses: readonly string[];
}

/** Engine options in ms; names as in EngineOptions, `…Ns` read as `…Ms`. */
export type EngineTimings = {
  -readonly [Name in keyof EngineOptions as Name extends `${infer Stem}Ns` ? `${Stem}Ms` : Name]: EngineOptions[Name];
};

export interface Log {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** A running node. `await using node = await createNode({…})` drains it at the end of the block. */
export interface Node extends AsyncDisposable {
  readonly name: string;
  readonly id: PeerId;
  /** Where it listens. */
  readonly addresses: readonly string[];
  /** Starts a flow; resolves with the execution's id when the start is durable. The same id starts nothing twice. */
  start(flow: AnyFlow | string, input: Value, options?: StartOptions): Promise<string>;
  /** Resolves with the outputs as {port: value}; rejects with ExecutionFailure, or NOT_FOUND for an id never started or past retention. */
  result(id: string, options?: { readonly signal?: AbortSignal }): Promise<{ readonly [port: string]: Value }>;
  /** `start` and `result`. */
  run(flow: AnyFlow | string, input: Value, options?: StartOptions & { readonly signal?: AbortSignal }): Promise<{ readonly [port: string]: Value }>;
  /** Cancels durably. False if it had ended. */
  cancel(id: string): Promise<boolean>;
  /** Starts a failed execution again under its id, with its input. */
  retry(id: string): Promise<void>;
  /** Hands a value to the execution's `wait` for that event; durable when it resolves. */
  signal(id: string, event: string, value: Value): Promise<void>;
  /** Starts the flows that subscribed to an event of the application's own. */
  publish(event: string, value: Value): Promise<void>;
  executions(): ExecutionSummary[];
  execution(id: string): ExecutionDetails | undefined;
  peers(): PeerReport[];
  cells(name: string): CellReader;
  status(): NodeStatus;
  /** Resolves when everything that the reads above can show now is durable. */
  durable(): Promise<void>;
  /** The whole committed state as one versioned value, encoded. */
  snapshot(): Promise<Uint8Array>;
  block(peer: string): Promise<void>;
  unblock(peer: string): Promise<void>;
  allowOnly(peers: readonly string[] | null): Promise<void>;
  /** What happens to peers and the node. Returns the function that stops listening. */
  onEvent(listener: (event: BusEvent) => void): () => void;
  /** Values that flows hand out with `output`. At least once: delivered again after a crash that came too early. */
  onOutput(listener: (output: { readonly execution: string; readonly port: string; readonly value: Value }) => void | Promise<void>): () => void;
  /** Finishes the turn, commits, closes links and store; at most 10 s. */
  close(): Promise<void>;
  /** Rejects when the node had to stop by itself (a failed commit): end the process. */
  readonly failed: Promise<never>;
}

export interface StartOptions {
  /** Chosen by the caller; the same id never starts twice. Default: a fresh one. */
  readonly id?: string;
  /** Shortens the flow's own deadline. */
  readonly deadlineMs?: number;
}

export interface CellReader {
  readonly size: number;
  get(key: string): Value | undefined;
  /** Pairs in ascending key order. */
  range(options?: { readonly after?: string; readonly limit?: number }): [string, Value][];
}

export type ExecutionState = "running" | "completed" | "failed";

export interface ExecutionSummary {
  readonly id: string;
  readonly flow: string;
  readonly state: ExecutionState;
  readonly origin: "application" | "peer" | "parent" | "event";
  /** Ms since 1970. */
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

export interface ExecutionDetails extends ExecutionSummary {
  readonly deadlineAtMs: number | "never";
  readonly operations: readonly OperationReport[];
  readonly outcome: { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly failure: Failure } | null;
}

export interface OperationReport {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  /** What a parked operation waits for, and until when (ms since 1970, or never). */
  readonly waitsFor: string | null;
  readonly untilMs: number | "never" | null;
  /** For a map: items settled, in all, failed. */
  readonly progress: { readonly settled: number; readonly total: number; readonly failed: number; readonly inFlight: number } | null;
}

export interface PeerReport {
  readonly id: string;
  readonly name: string | null;
  readonly linked: boolean;
  readonly incarnation: number | null;
  readonly verdict: "live" | "suspect" | "down";
  readonly governorDown: boolean;
  readonly consecutiveFailures: number;
  /** Ms until new requests may go to it; 0 = now. */
  readonly cooldownMs: number;
  readonly policy: "allowed" | "blocklisted" | "not-allowlisted";
  readonly phi: number;
  readonly inFlight: number;
  readonly unacknowledged: number;
  readonly calls: number;
  readonly replies: number;
  readonly failures: number;
  readonly downs: number;
  readonly refusedEnvelopes: number;
  readonly historyLost: boolean;
  readonly addresses: readonly string[];
  /** By site: `link` and the flows asked of it. */
  readonly sites: readonly { readonly site: string; readonly srttMs: number; readonly samples: number; readonly deadlineMs: number; readonly tier: string }[];
}

export interface NodeStatus {
  readonly name: string;
  readonly id: string;
  readonly addresses: readonly string[];
  readonly pid: number;
  readonly incarnation: number;
  readonly lineage: string;
  readonly fence: number;
  readonly position: number;
  readonly uptimeMs: number;
  readonly executions: number;
  readonly parked: number;
  readonly finished: number;
  readonly frontier: number;
  readonly timers: number;
  readonly peersLinked: number;
  readonly draining: boolean;
  readonly residentBytes: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly flows: readonly string[];
}
