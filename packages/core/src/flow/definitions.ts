import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Value } from "../base/value.ts";
import type { Program } from "./program.ts";
import type { ProgramHash } from "../base/ids.ts";

/** How a host operation may be repeated when its outcome is unknown (after a restart, or on a second attempt). */
export type HostClass = "pure" | "keyed" | "probe" | "unsafe";

/** What a host function gets besides its input. */
export interface HostContext {
  /** Aborted at the deadline, at cancellation and at shutdown. (The host supplies a real AbortSignal; core only passes it on.) */
  readonly signal: unknown;
  /** Idempotency key: the same on every attempt, on every peer, over restarts. */
  readonly key: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

export interface PureDefinition {
  readonly kind: "pure";
  readonly name: string;
  readonly version: number;
  readonly fn: (...args: never[]) => unknown;
}

export interface HostDefinition {
  readonly kind: "host";
  readonly name: string;
  readonly version: number;
  readonly class: HostClass;
  readonly input: StandardSchemaV1 | null;
  readonly output: StandardSchemaV1 | null;
  /** Returns a promise or a value; typed loosely here because core has no promises. */
  readonly fn: (input: never, context: never) => unknown;
  /** For class `probe`: says what became of `key`: {done: true, value} or {done: false} (then it is run again). */
  readonly probe: ((key: string, context: never) => unknown) | null;
}

/** Everything that compiled flows refer to by `name@version`. All processes of a fleet build the same one. */
export interface Definitions {
  readonly pure: ReadonlyMap<string, PureDefinition>;
  readonly host: ReadonlyMap<string, HostDefinition>;
  readonly schemas: ReadonlyMap<string, StandardSchemaV1>;
  /** Every compiled program, children included. */
  readonly programs: ReadonlyMap<ProgramHash, Program>;
  /** The newest version of every flow. */
  readonly flows: ReadonlyMap<string, ProgramHash>;
}

/** A value that failed its schema: what the caller is told. */
export interface Issue {
  readonly message: string;
  readonly path: string;
}

/** The one shape of failure that travels: between operations, executions and nodes. */
export interface Failure {
  /** Stable: `CANCELLED`, `DEADLINE`, `SCHEMA`, `HOST_THREW`, `VALUE_INVALID`, `DENIED`, `REFUSED`, `OUTCOME_UNKNOWN`, …, or what host code set. */
  readonly code: string;
  readonly message: string;
  /** `flow/operation` where it happened, outermost last. */
  readonly at: readonly string[];
  readonly details: Value;
}
