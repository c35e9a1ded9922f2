/**
 * What is said between clients, broker and backends: frames (u32 length, JSON) that are checked against these schemas
 * before anybody looks inside. After its Hello and the `welcome` that answers it, a connection is the application's.
 */
import * as v from "valibot";
import { REFUSAL_CODES } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";

/** Version of this protocol. A message of another is refused. */
export const PROTOCOL = 1;
/** The first frame of a connection: its sender is not trusted yet. */
export const FIRST_FRAME_BYTES_MAX = 64 * 1024;
/** Who connects says what it wants within this. Decision: so long may a stopped client hold a descriptor. */
export const FIRST_FRAME_MS_MAX = 30_000;
/** Any other. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;

/** Ways of getting from a client to a backend, best first. */
export const ROUTES = ["direct", "handoff", "redirect", "proxy"] as const;
export type Route = (typeof ROUTES)[number];

export const ServiceName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, "a service's name is 1–64 letters, digits, \"_\", \"-\" or \".\""));
const Short = v.pipe(v.string(), v.maxLength(256));
const Version = v.pipe(v.string(), v.minLength(1), v.maxLength(64));
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Nonce = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const Details = v.record(v.string(), v.unknown());

const KeyParts = { service: ServiceName, version: Version, build: Short } as const;

/** From a client to a broker or a backend; bytes of the application may follow it at once. */
export const Hello = v.object({
  kind: v.literal("hello"),
  /** Another one than ours is refused in so many words. */
  protocol: Count,
  service: ServiceName,
  version: Version,
  /** This version, and not the one that replaced it. */
  exact: v.optional(v.boolean(), false),
  /** The build that is meant; without it the one of the service's definition. */
  build: v.optional(Short),
  pid: Count,
  /** What the client can do besides waiting: stay on a connection that changes hands, dial an endpoint; or it needs a proxy. */
  accepts: v.array(v.picklist(["handoff", "redirect", "proxy"])),
  /** How the connection came: a broker that passes it on says so here. */
  route: v.optional(v.picklist(ROUTES), "direct"),
});
export type Hello = v.InferOutput<typeof Hello>;

/** From a broker (or a tool) to a backend that it did not start: a channel for commands, over a connection like any other. */
export const Attach = v.object({ kind: v.literal("attach"), protocol: v.literal(PROTOCOL), nonce: Nonce });
export type Attach = v.InferOutput<typeof Attach>;

/** To a broker: one question of an operator's, or a fleet's lease. */
export const Admin = v.object({ kind: v.literal("admin"), protocol: v.literal(PROTOCOL), verb: Short, params: v.optional(Details, {}) });
export type Admin = v.InferOutput<typeof Admin>;

export const ClientFirst = v.variant("kind", [Hello, Attach, Admin]);
export type ClientFirst = v.InferOutput<typeof ClientFirst>;

/** A backend has the connection: what follows is the application's. */
export const Welcome = v.object({
  kind: v.literal("welcome"), ...KeyParts, route: v.picklist(ROUTES), pid: Count,
});
export type Welcome = v.InferOutput<typeof Welcome>;

/** Dial `endpoint`; the connection ends. */
export const Redirect = v.object({ kind: v.literal("redirect"), ...KeyParts, endpoint: v.pipe(v.string(), v.maxLength(1024)), reason: Short });
export type Redirect = v.InferOutput<typeof Redirect>;

export const Refused = v.object({
  kind: v.literal("refused"), code: v.picklist(REFUSAL_CODES), explanation: v.string(), retryAfterMs: v.nullable(Count), details: Details,
});
export type Refused = v.InferOutput<typeof Refused>;

export function refusedMessage({ code, explanation, retryAfterMs, details }: Refusal): Refused {
  return { kind: "refused", code, explanation, retryAfterMs, details };
}

export const ServerFirst = v.variant("kind", [Welcome, Redirect, Refused]);
export type ServerFirst = v.InferOutput<typeof ServerFirst>;

/** A broker's answer to an operator; events of a lease come before and after it. */
export const AdminAnswer = v.variant("kind", [
  v.object({ kind: v.literal("answer"), result: v.unknown() }),
  v.object({ kind: v.literal("event"), event: v.unknown() }),
  Refused,
]);
export type AdminAnswer = v.InferOutput<typeof AdminAnswer>;

/** From a broker to its backend. */
export const ToBackend = v.variant("kind", [
  /** A connection comes with it. `deadlineUs` is on the machine's monotonic clock; `rest` is base64. */
  v.object({
    kind: v.literal("offer"), id: Count, deadlineUs: Count, rest: v.string(),
    service: ServiceName, version: Version, clientPid: Count,
  }),
  /** Take no more connections, finish those you have, end. */
  v.object({ kind: v.literal("quiesce"), withinMs: Count }),
]);
export type ToBackend = v.InferOutput<typeof ToBackend>;
export type Offer = Extract<ToBackend, { kind: "offer" }>;

export const NACK_REASONS = ["no-handle", "too-late", "draining"] as const;
export type NackReason = (typeof NACK_REASONS)[number];

/** From a backend to its broker. */
export const ToBroker = v.variant("kind", [
  v.object({ kind: v.literal("ready"), info: v.unknown() }),
  /** Starting it again would not help. */
  v.object({ kind: v.literal("unable"), code: Short, message: v.string() }),
  v.object({ kind: v.literal("ack"), id: Count }),
  v.object({ kind: v.literal("nack"), id: Count, reason: v.picklist(NACK_REASONS) }),
  /** Of the application's own, for whoever holds the lease. */
  v.object({ kind: v.literal("told"), message: v.unknown() }),
]);
export type ToBroker = v.InferOutput<typeof ToBroker>;

/** Over an attached connection: the backend proves that it has the secret of its identity file, then the broker does. */
export const Attached = v.object({
  kind: v.literal("attached"), ...KeyParts, pid: Count, proof: Nonce, nonce: Nonce, draining: v.boolean(), info: v.unknown(),
});
export type Attached = v.InferOutput<typeof Attached>;
export const AttachProof = v.object({ kind: v.literal("proof"), proof: Nonce });
