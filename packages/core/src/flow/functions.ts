import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkCount, checkName, deadlineNsFromMs, flowInvalid } from "./flow-invalid.ts";
import { bareSchema } from "./port-schema.ts";
import type { HostClass, HostContext, HostDefinition, PureDefinition } from "./definitions.ts";

/** A registered function of values alone: no clock, no randomness, no I/O. Runs inside the engine's turn. */
export interface PureFunction<Args extends readonly unknown[], out Out> extends PureDefinition {
  readonly fn: (...args: Args) => Out;
}

declare const hostInput: unique symbol;
declare const hostOutput: unique symbol;

/** A registered function that works outside the engine, at least once, under a stable key. */
export interface HostFunction<in In, out Out> extends HostDefinition {
  /** Time one run may take unless the operation says otherwise: whole ns, or as long as its flow. */
  readonly deadlineNs: number | "never";
  readonly [hostInput]?: (input: In) => void;
  readonly [hostOutput]?: Out;
}

/** The platform's AbortSignal where its types are loaded (core itself has none). */
export type HostSignal = typeof globalThis extends { AbortSignal: { prototype: infer Signal } }
  ? Signal
  : { readonly aborted: boolean; readonly reason: unknown };

/** What host code sees of one run. */
export interface HostCall extends HostContext {
  readonly signal: HostSignal;
}

/** What became of an earlier run under the same key. */
export type Probed<Out> = { readonly done: true; readonly value: Out } | { readonly done: false };

interface HostOptions<Out> {
  /** Default 1. Raise it when the meaning changes; work in flight needs the old version registered beside it. */
  readonly version?: number;
  /** How the function may be repeated when its outcome is unknown. Default `pure`: simply run again. */
  readonly class?: HostClass;
  /** Ms that one run may take; default `never`: as long as the flow it is part of. */
  readonly deadlineMs?: number | "never";
  /** Needed by class `probe`, and only by it. */
  readonly probe?: (key: string, call: HostCall) => Probed<Out> | PromiseLike<Probed<Out>>;
}

/**
 * Registers a function for the inside of a turn. It must be deterministic and quick: everything else waits for it.
 *
 * @example const add = pure("add", {}, (a: number, b: number) => a + b);
 */
export function pure<Args extends readonly unknown[], Out>(
  name: string,
  { version = 1 }: { readonly version?: number },
  fn: (...args: Args) => Out,
): PureFunction<Args, Out> {
  checkName(name, "function", name);
  checkCount(name, "version", version);
  return { kind: "pure", name, version, fn };
}

type Schema = StandardSchemaV1;
type In<S extends Schema> = StandardSchemaV1.InferInput<S>;
type Out<S extends Schema> = StandardSchemaV1.InferOutput<S>;
type Eventually<T> = T | PromiseLike<T>;

/**
 * Registers a function for the outside world. With an `input` schema it is given what the schema puts out; without an
 * `output` schema its result has the type that it returns.
 *
 * @example const hello = host("hello", { input: v.string() }, async (name) => `Hello ${name}`);
 */
export function host<I extends Schema, O extends Schema>(
  name: string,
  options: HostOptions<In<O>> & { readonly input: I; readonly output: O },
  fn: (input: Out<I>, call: HostCall) => Eventually<In<O>>,
): HostFunction<In<I>, Out<O>>;
export function host<I extends Schema, Result>(
  name: string,
  options: HostOptions<NoInfer<Awaited<Result>>> & { readonly input: I; readonly output?: never },
  fn: (input: Out<I>, call: HostCall) => Result,
): HostFunction<In<I>, Awaited<Result>>;
export function host<O extends Schema, Input = null>(
  name: string,
  options: HostOptions<In<O>> & { readonly input?: never; readonly output: O },
  fn: (input: Input, call: HostCall) => Eventually<In<O>>,
): HostFunction<Input, Out<O>>;
export function host<Result, Input = null>(
  name: string,
  options: HostOptions<NoInfer<Awaited<Result>>> & { readonly input?: never; readonly output?: never },
  fn: (input: Input, call: HostCall) => Result,
): HostFunction<Input, Awaited<Result>>;
export function host(
  name: string,
  options: HostOptions<unknown> & { readonly input?: Schema; readonly output?: Schema },
  fn: (input: never, call: never) => unknown,
): HostFunction<never, unknown> {
  const { version = 1, deadlineMs = "never", probe = null } = options;
  checkName(name, "function", name);
  checkCount(name, "version", version);
  const hostClass = options.class ?? "pure";
  if ((hostClass === "probe") !== (probe !== null)) {
    throw flowInvalid(name, null, `class ${hostClass} ${probe === null ? "needs" : "has no use for"} a probe`);
  }
  return {
    kind: "host",
    name,
    version,
    class: hostClass,
    input: bareSchema(options.input),
    output: bareSchema(options.output),
    fn,
    probe,
    deadlineNs: deadlineNsFromMs(name, deadlineMs),
  };
}
