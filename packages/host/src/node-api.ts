import type { AnyFlow, BudgetTier, BusEvent, EngineOptions, Failure, NextEvent, Obstacle, PeerCounts, PeerEvent, PeerId, PolicyEntry, Value } from "@holdfast/core";

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
  /**
   * Names of `peers`, peer ids, ranges of addresses (`10.0.0.0/8`, `2001:db8::/32`) and protocols (`/ws`). `allow: null` (the
   * default) admits everybody not blocked; a block beats everything else.
   */
  readonly policy?: { readonly block?: readonly (string | PolicyItem)[]; readonly allow?: readonly (string | PolicyItem)[] | null };
  readonly flows: readonly AnyFlow[];
  readonly engine?: Partial<EngineTimings>;
  /** Start although definitions are missing; the executions concerned stay parked. */
  readonly parkMissing?: boolean;
  readonly log?: Log;
}

/** Somebody in a policy, with the reason why. */
export interface PolicyItem {
  readonly who: string;
  /** At most 256 bytes. */
  readonly reason?: string;
}

/** How long a change of policy holds, and who wants it why. */
export interface PolicyOptions {
  /** Left out: for good. */
  readonly forMs?: number;
  /** At most 256 bytes. */
  readonly reason?: string;
  /** Default: `api`. */
  readonly by?: "operator" | "api";
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
  /** Everything that decides whether and how a peer is spoken with. `peer`: a name, an id, or how one of them begins. Throws PEER_UNKNOWN. */
  explainPeer(peer: string): ExplainedPeer;
  /** Who is kept out or let in, by configuration and by what follows. */
  policy(): PolicyReport;
  /**
   * Keeps a peer out, by name or id; or everybody in a range of addresses (`10.0.0.0/8`), or with a protocol (`/ws`). What
   * is under way with it ends at once, outcome unknown. Durable when it resolves.
   */
  block(who: string, options?: PolicyOptions): Promise<void>;
  /** Takes back what `block` did with the same words. */
  unblock(who: string): Promise<void>;
  /** Lets in only these; null: everybody who is not blocked. */
  allowOnly(who: readonly string[] | null, options?: PolicyOptions): Promise<void>;
  /** One more on the list that `allowOnly` has begun, and one less. */
  allow(who: string, options?: PolicyOptions): Promise<void>;
  disallow(who: string): Promise<void>;
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

/** One entry of the policy. */
export interface PolicyEntryReport {
  readonly kind: "deny" | "allow";
  /** As `block` takes it. */
  readonly who: string;
  readonly on: PolicyEntry["on"];
  /** What the fleet calls the peer. */
  readonly name: string | null;
  readonly by: PolicyEntry["by"];
  readonly reason: string;
  /** Ms since 1970. */
  readonly untilMs: number | "never";
  /** Ms since 1970; null for the configuration's. */
  readonly addedAtMs: number | null;
}

export interface PolicyReport {
  readonly entries: readonly PolicyEntryReport[];
  /** Whose allowlists a peer must pass. None: everybody is admitted who is not denied. */
  readonly allowlists: readonly ("config" | "operator")[];
}

/** Everything about one peer; `…AtMs` are since 1970, `…InMs` and `…ForMs` from now. */
export interface ExplainedPeer {
  readonly id: string;
  readonly name: string | null;
  /** What stands between us, the weightiest first; empty: requests go out at once. */
  readonly obstacles: readonly Obstacle[];
  readonly policy: {
    readonly decision: "allowed" | "blocklisted" | "not-allowlisted";
    /** What decides, and by which address if not by the id; null: no entry does. */
    readonly entry: PolicyEntryReport | null;
    readonly address: string | null;
    readonly entries: readonly PolicyEntryReport[];
    readonly allowlists: readonly ("config" | "operator")[];
  };
  readonly link: {
    readonly state: "none" | "dialling" | "greeting" | "up";
    readonly dialled: boolean | null;
    readonly remote: string | null;
    readonly openForMs: number | null;
    readonly incarnation: number | null;
    readonly kept: boolean;
    readonly addresses: readonly { readonly address: string; readonly denied: boolean }[];
  };
  readonly health: {
    readonly consecutiveFailures: number;
    readonly threshold: number;
    readonly down: boolean;
    readonly lastEventAtMs: number | null;
    /** Null: none since this process started. */
    readonly lastFailure: { readonly event: PeerEvent; readonly atMs: number } | null;
  };
  readonly detector: {
    readonly announced: "live" | "suspect" | "down";
    readonly state: "live" | "suspect" | "down";
    readonly phi: number;
    readonly suspectPhi: number | null;
    readonly downPhi: number | null;
    readonly samples: number;
    readonly intervalMs: number;
    /** Most peers are silent: it seems to be this node that is cut off, and verdicts wait. */
    readonly isIsolated: boolean;
    readonly silenceMs: number | null;
    readonly next: { readonly to: "suspect" | "down"; readonly inMs: number } | null;
  } | null;
  /** By what is asked: how long an attempt may take, and from which estimates that comes. */
  readonly sites: readonly {
    readonly site: string;
    readonly budgetMs: number;
    readonly tier: BudgetTier;
    readonly tiers: readonly { readonly tier: BudgetTier; readonly weight: number; readonly srttMs: number; readonly rttvarMs: number; readonly samples: number }[];
  }[];
  /** `failuresForMs` and `adviceForMs`: how long its failures, and its own advice, still keep new requests away. */
  readonly cooldown: { readonly attempts: number; readonly lastAttemptAtMs: number | null; readonly failuresForMs: number; readonly adviceForMs: number } | null;
  readonly work: { readonly queued: number; readonly sent: number; readonly accepted: number; readonly unacknowledged: number; readonly window: number };
  readonly counts: Readonly<PeerCounts>;
  /** What comes if nothing else happens, in order. */
  readonly next: readonly { readonly what: NextEvent["what"]; readonly of: string | null; readonly atMs: number; readonly inMs: number }[];
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
