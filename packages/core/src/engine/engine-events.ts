import type { CommandId, ExecutionId, PeerId } from "../base/ids.ts";
import type { Due } from "../base/time.ts";
import type { StoredValue } from "../base/stored-value.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import type { PolicyScope } from "../peer/policy/peer-policy.ts";

/** A link as the host numbers it: never used twice in one process. */
export type LinkId = number;

/** Everything that can happen to a node. Past tense: it has happened, the engine only takes note. */
export type EngineEvent = Readonly<
  /** `remote`: the multiaddr of the other end, where the host knows it; policy may look at it. */
  | { kind: "link-opened"; link: LinkId; peer: PeerId; dialled: boolean; remote?: string }
  | { kind: "link-closed"; link: LinkId; reason: string; blamesPeer: boolean }
  | { kind: "dial-failed"; peer: PeerId; reason: string; fault?: DialFault }
  /** The machine has other addresses or another way out: what failed may work now. */
  | { kind: "network-changed" }
  /** The engine keeps views into `body`: the host must not reuse its memory. */
  | { kind: "frame-received"; link: LinkId; body: Uint8Array }
  | { kind: "invoked"; id: ExecutionId | null; flow: string; input: Value; deadlineNs: number | "never" | null; tag: number }
  | { kind: "signalled"; execution: ExecutionId; event: string; value: Value; tag: number }
  | { kind: "cancel-requested"; execution: ExecutionId; tag: number }
  | { kind: "retry-requested"; execution: ExecutionId; tag: number }
  | { kind: "host-completed"; command: CommandId; value: Value }
  | { kind: "host-failed"; command: CommandId; code: string; message: string; details: Value }
  | { kind: "output-delivered"; command: CommandId }
  | { kind: "application-event"; event: string; value: Value; tag: number }
  | { kind: "policy-changed"; change: PolicyChange; tag: number }
  | { kind: "peer-configured"; peer: PeerId; name: string | null; addresses: readonly string[]; keepLink: boolean }
  | { kind: "drain-requested" }
>;

/** Whom a change of policy is about: a peer, or a range or protocol of addresses. */
export type PolicySubject = PeerId | PolicyScope;

/** How long a change holds, who wants it and why. */
export interface PolicyTerms {
  /** In ns, at least 1. Left out: for good. */
  readonly forNs?: number;
  /** Left out: `api`, the program that runs the node. */
  readonly by?: "operator" | "api";
  /** At most `POLICY_REASON_BYTES_MAX` bytes. */
  readonly reason?: string;
}

/** Why a dial failed, as far as the host can tell: our own machine's trouble, an answer that was no, or no answer. */
export type DialFault = "local" | "refused" | "silent";

export type PolicyChange = Readonly<
  | ({ action: "block"; peer: PolicySubject } & PolicyTerms)
  | { action: "unblock"; peer: PolicySubject }
  /** Null admits everybody who is not blocked. */
  | ({ action: "allow-only"; peers: readonly PolicySubject[] | null } & PolicyTerms)
  /** One more on the allowlist that `allow-only` has begun, and one less. */
  | ({ action: "allow"; peer: PolicySubject } & PolicyTerms)
  | { action: "disallow"; peer: PolicySubject }
>;

/** Everything that a node can ask of its host. Imperative; released only when the state it saw is durable. */
export type Effect = Readonly<
  | { kind: "send-frame"; link: LinkId; frame: Uint8Array }
  | { kind: "close-link"; link: LinkId; code: string }
  | { kind: "dial"; peer: PeerId; addresses: readonly string[] }
  | {
      kind: "start-host";
      command: CommandId;
      fn: string;
      /** After a start there may be thousands of these: each is decoded when its work begins. */
      input: StoredValue;
      key: string;
      attempt: number;
      /** Ask the definition's `probe` first: an earlier start's outcome is unknown. */
      probe: boolean;
      /** Ns from now, or never. */
      remainingNs: number | "never";
      at: string;
    }
  | { kind: "abort-host"; command: CommandId; reason: string }
  | { kind: "deliver-output"; command: CommandId; execution: ExecutionId; port: string; value: Value }
  /** Answers the event of the same tag: the change is durable, or was refused. */
  | { kind: "answer"; tag: number; answer: Answer }
  | { kind: "execution-finished"; execution: ExecutionId; outcome: Outcome }
  | { kind: "telemetry"; event: BusEvent }
>;

export type Answer = Readonly<
  | { ok: true; execution: ExecutionId | null }
  | { ok: false; code: "NOT_FOUND" | "CONFLICT" | "FULL" | "SCHEMA"; message: string; details: Value }
>;

/** How an execution ended. */
export type Outcome = Readonly<{ ok: true; value: Value } | { ok: false; failure: Failure }>;

/** What happens to peers and to the node itself, as flows can subscribe to it and as telemetry shows it. */
export interface BusEvent {
  readonly event: BusEventKind | string;
  readonly peer: PeerId | null;
  readonly details: Value;
}

export const BUS_EVENTS = [
  "peer-down", "peer-up", "peer-blocked", "policy-expired",
  "site-suspect", "site-down", "site-live",
  "backoff-sent", "backoff-advised",
  "address-unknown", "envelope-refused", "history-lost", "lineage-changed",
  "link-up", "link-down", "pause-recognised",
  "started", "restored", "draining",
] as const;
export type BusEventKind = (typeof BUS_EVENTS)[number];

/** Why the engine wants to be polled at a time. */
export type WakeReason =
  | "command-due" | "execution-deadline" | "attempt-budget" | "heartbeat" | "detector" | "dial" | "acknowledge"
  | "unacknowledged" | "gate" | "policy";

export interface Wake {
  readonly at: Due;
  readonly reason: WakeReason;
}
