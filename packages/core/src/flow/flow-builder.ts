import type { StandardSchemaV1 } from "@standard-schema/spec";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import { assert } from "../base/assert.ts";
import { noUses, useFlow, useHost, usePure, useSchema } from "./draft.ts";
import { checkCount, checkName, deadlineNsFromMs, flowInvalid, nsFromMs } from "./flow-invalid.ts";
import { Port } from "./port.ts";
import { pinSchema } from "./port-schema.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "./definitions.ts";
import type { Draft, DraftOperation, MapFlow } from "./draft.ts";
import type { AnyFlow, BuildFunction, Flow } from "./flow.ts";
import type { HostFunction, PureFunction } from "./functions.ts";
import type { PortsOf } from "./port.ts";
import type { Fold, Port as ProgramPort, Selection } from "./program.ts";

export interface OperationOptions {
  /** Unique within the flow. Default: what the operation does, with a number where that repeats. */
  readonly name?: string;
}

export interface AfterOptions extends OperationOptions {
  /** Not begun before these exist; their values are not looked at. */
  readonly after?: readonly Port<unknown>[];
}

export interface DeadlineOptions extends OperationOptions {
  /** Ms, or as long as the flow. Never beyond the flow's own deadline. */
  readonly deadlineMs?: number | "never";
}

export interface Retry {
  /** Attempts in all; further ones go to other peers of the selection when one is failing. Default 1. */
  readonly attempts: number;
}

/**
 * `auto` (default): a second peer of the selection may be asked while the first is slow, if the flow may run twice (its host
 * operations are `pure` or `keyed`, and it changes nothing else). `never`: one peer works at a time.
 */
export type Hedge = "auto" | "never";

export interface CallOptions extends DeadlineOptions {
  readonly retry?: Retry;
  readonly hedge?: Hedge;
}

/** One item's outcome where a map collects failures. */
export type ItemResult<Result> = { readonly ok: Result } | { readonly failed: Failure };

/** How a map's results are accumulated in cells. */
export class CellFold<in Result> {
  declare readonly result: (result: Result) => void;
  readonly cells: string;
  readonly entries: PureFunction<[never], unknown>;
  readonly fold: PureFunction<[never, never], unknown>;

  constructor(cells: string, entries: PureFunction<[never], unknown>, fold: PureFunction<[never, never], unknown>) {
    this.cells = cells;
    this.entries = entries;
    this.fold = fold;
  }
}

/** A port for each argument, then perhaps options. Conditional, so that the function alone decides what `Args` is. */
type PortList<Args extends readonly unknown[]> = Args extends unknown
  ? [...PortsOf<Args>] | [...PortsOf<Args>, OperationOptions]
  : never;

/** The only key of a record; never, when there are several. */
type SoleKey<In, Key extends keyof In = keyof In> = Key extends unknown
  ? [keyof In] extends [Key] ? Key : never
  : never;

export type MapOptions<In, Out, Item extends keyof In, OnFailure, Into> = OperationOptions & {
  /** The flow's port that takes an item. Default: its only one. */
  readonly item?: Item;
  /** Whom to ask; without it the children run on this node. */
  readonly to?: Port<Selection>;
  /** Children at work at one time. Default 8. */
  readonly concurrency?: number;
  /** Attempts for each item; needs `to`. */
  readonly retry?: Retry;
  /** For each item; needs `to`. */
  readonly hedge?: Hedge;
  /** `fail` (default): the first failed item fails the map. `collect`: go on, and list what failed. */
  readonly onItemFailure?: OnFailure;
  /** Accumulate the results in cells as they arrive, in place of listing them. */
  readonly into?: Into & (CellFold<Out> | readonly CellFold<Out>[]);
} & ([Exclude<keyof In, Item>] extends [never]
    ? { readonly with?: {} }
    /** What every child gets at its other ports. */
    : { readonly with: NoInfer<PortsOf<Omit<In, Item>>> });

/** Options may be left out when there are no other ports to fill. */
type MapArguments<In, Out, Item extends keyof In, OnFailure, Into> =
  [Exclude<keyof In, Item>] extends [never]
    ? [options?: MapOptions<In, Out, Item, OnFailure, Into>]
    : [options: MapOptions<In, Out, Item, OnFailure, Into>];

/** The number of items folded in, or a result for each item, in the order of the items. */
export type MapResult<Out, OnFailure, Into> = undefined extends Into
  ? OnFailure extends "collect" ? ItemResult<Out>[] : Out[]
  : number;

/** Keys of a set of cells, in their order, beyond `after` and at most `limit`. */
export interface CellRange {
  readonly after?: string;
  readonly limit?: number;
}

/** Omits from each member of a union. */
type Body<Of = DraftOperation> = Of extends unknown ? Omit<Of, "name" | "inputs" | "outputs" | "onError"> : never;

/** Default bound of a map's children at work: enough to keep a few peers busy, far below the table of executions. */
const CONCURRENCY_DEFAULT = 8;

/**
 * What a flow is written with. Each method adds one operation and returns a handle on what it will put out; nothing
 * runs here. A builder serves one flow, once: a handle of another flow, or a late call, throws FLOW_INVALID.
 *
 * Invariants:
 *   B1. Each slot is written by the flow's input or by one operation.
 *   B2. An operation reads only slots that exist when it is added: drafts are acyclic and in topological order.
 */
export class FlowBuilder {
  readonly #flow: AnyFlow;
  readonly #uses = noUses();
  readonly #operations: DraftOperation[] = [];
  readonly #names = new Set<string>();
  /** Index of the operation that writes each slot; −1 for an input of the flow. */
  readonly #producers: number[] = [];
  #finished = false;

  private constructor(flow: AnyFlow) {
    this.#flow = flow;
  }

  /** Runs the builder function of a flow. For `Flow` alone. */
  static build(flow: AnyFlow, build: BuildFunction): Draft {
    return new FlowBuilder(flow).#run(build);
  }

  /** A value that is known now. It is copied. */
  constant<T extends Value>(value: T, options: OperationOptions = {}): Port<T> {
    return this.#add({ kind: "constant", value: decodeValue(encodeValue(value)) }, "constant", [], options);
  }

  /** Calls a pure function with the ports as its arguments. The last argument may be options. */
  pure<Args extends readonly unknown[], Out>(
    fn: PureFunction<Args, Out>,
    ...rest: PortList<Args>
  ): Port<Out> {
    const { ports, options } = withOptions(rest);
    return this.#add({ kind: "pure", fn: usePure(this.#uses, fn, this.#flow.name) }, fn.name, ports, options);
  }

  /** Has a host function work outside the engine. Without a port its input is null. */
  host<In, Out>(fn: HostFunction<In, Out>, input: Port<NoInfer<In>>, options?: DeadlineOptions): Port<Out>;
  host<Out>(fn: HostFunction<null, Out>, options?: DeadlineOptions): Port<Out>;
  host(fn: HostFunction<never, unknown>, ...rest: readonly (Port<unknown> | DeadlineOptions | undefined)[]): Port<unknown> {
    const { ports, options } = withOptions<DeadlineOptions>(rest);
    const deadlineNs = this.#deadlineNs(options, fn.deadlineNs);
    return this.#add({ kind: "host", fn: useHost(this.#uses, fn, this.#flow.name), deadlineNs }, fn.name, ports, options);
  }

  /** One peer of the group, by policy, health and load; chosen anew for every call and attempt. */
  select(group: string, options: OperationOptions = {}): Port<Selection> {
    checkName(this.#flow.name, "group", group);
    return this.#add({ kind: "select", group }, `select-${group}`, [], options);
  }

  /** One fixed peer, by its id or its name in the fleet. */
  peer(name: string, options: OperationOptions = {}): Port<Selection> {
    checkName(this.#flow.name, "peer", name);
    return this.#add({ kind: "constant", value: { peer: name } }, `peer-${name}`, [], options);
  }

  /** Asks a peer to run a flow and waits for nothing. The port is written when the request is durably queued. */
  send<In>(
    flow: Flow<In, unknown>, target: Port<Selection>, ports: NoInfer<PortsOf<In>>, options: DeadlineOptions = {},
  ): Port<null> {
    const names = this.#portNames(flow, ports);
    const body: Body = {
      kind: "send",
      flow: useFlow(this.#uses, flow, this.#flow.name),
      ports: names,
      chain: null,
      deadlineNs: this.#deadlineNs(options, flow.deadlineNs),
    };
    return this.#add(body, `send-${flow.name}`, [target, ...portsIn(ports, names)], options);
  }

  /** Asks a peer to run a flow and waits for its outputs. */
  call<In, Out>(
    flow: Flow<In, Out>, target: Port<Selection>, ports: NoInfer<PortsOf<In>>, options: CallOptions = {},
  ): PortsOf<Out> {
    const names = this.#portNames(flow, ports);
    const results = flow.outputs.map(({ name }) => name);
    const body: Body = {
      kind: "call",
      flow: useFlow(this.#uses, flow, this.#flow.name),
      ports: names,
      results,
      chain: null,
      deadlineNs: this.#deadlineNs(options, flow.deadlineNs),
      attempts: this.#attempts(options.retry),
      ...hedgeField(options.hedge),
    };
    const outputs = this.#addWide(body, `call-${flow.name}`, [target, ...portsIn(ports, names)], results.length, options);
    return Object.fromEntries(results.map((name, index) => [name, outputs[index]])) as PortsOf<Out>;
  }

  /** Runs a flow for every item of a list: on this node, or on peers when `to` says whom to ask. */
  map<
    In,
    Out,
    Item extends keyof In = SoleKey<In>,
    OnFailure extends "fail" | "collect" = "fail",
    Into extends CellFold<never> | readonly CellFold<never>[] | undefined = undefined,
  >(
    list: Port<readonly NoInfer<In>[NoInfer<Item>][]>,
    flow: Flow<In, Out>,
    ...rest: MapArguments<In, Out, Item, OnFailure, Into>
  ): Port<MapResult<Out, OnFailure, Into>> {
    const options = (rest[0] ?? {}) as UntypedMapOptions;
    const others = options.with ?? {};
    const item = options.item ?? this.#soleInput(flow);
    const names = this.#portNames(flow, { ...others, [item]: list }).filter((name) => name !== item);
    if (options.retry !== undefined && options.to === undefined) {
      throw flowInvalid(this.#flow.name, null, `the map over ${flow.name} retries, but asks no peer: it needs \`to\``);
    }
    if (options.hedge !== undefined && options.to === undefined) {
      throw flowInvalid(this.#flow.name, null, `the map over ${flow.name} speaks of hedging, but asks no peer: it needs \`to\``);
    }
    const { concurrency = CONCURRENCY_DEFAULT, into = [] } = options;
    checkCount(this.#flow.name, "concurrency", concurrency);
    const body: Omit<MapFlow, "name" | "inputs" | "outputs" | "onError"> = {
      kind: "map-flow",
      flow: useFlow(this.#uses, flow, this.#flow.name),
      remote: options.to !== undefined,
      attempts: this.#attempts(options.retry),
      ...hedgeField(options.hedge),
      ports: [item, ...names],
      concurrency,
      onItemFailure: options.onItemFailure ?? "fail",
      into: (Array.isArray(into) ? into : [into]).map((fold) => this.#fold(fold)),
    };
    const inputs = [list, ...portsIn(others, names), ...(options.to === undefined ? [] : [options.to])];
    return this.#add(body, `map-${flow.name}`, inputs, options);
  }

  /** For a map's `into`: `entries` turns a result into [key, delta] pairs, `fold` adds a delta to a key's cell. */
  cells<Result, Delta, Cell>(
    cells: string,
    entries: PureFunction<[result: Result], readonly (readonly [key: string, delta: Delta])[]>,
    fold: PureFunction<[cell: Cell | null, delta: NoInfer<Delta>], Cell>,
  ): CellFold<Result> {
    checkName(this.#flow.name, "set of cells", cells);
    return new CellFold(cells, entries, fold);
  }

  /** Changes the cell of a key, in the turn, to what `fn(cell or null, ...args)` returns. */
  update<Cell, Args extends readonly unknown[]>(
    cells: string,
    key: Port<string>,
    fn: PureFunction<[cell: Cell | null, ...args: Args], Cell>,
    ...rest: PortList<Args>
  ): Port<Cell> {
    checkName(this.#flow.name, "set of cells", cells);
    const { ports, options } = withOptions(rest);
    const body: Body = { kind: "update", cells, fn: usePure(this.#uses, fn, this.#flow.name) };
    return this.#add(body, `update-${cells}`, [key, ...ports], options);
  }

  /** Reads one cell (null where there is none), or a page of [key, cell] in key order. */
  read<Cell>(cells: string, by: { readonly key: Port<string> }, options?: AfterOptions): Port<Cell | null>;
  read<Cell>(cells: string, by: { readonly range: Port<CellRange> }, options?: AfterOptions): Port<[key: string, cell: Cell][]>;
  read(
    cells: string,
    by: { readonly key?: Port<string>; readonly range?: Port<CellRange> },
    options: AfterOptions = {},
  ): Port<unknown> {
    checkName(this.#flow.name, "set of cells", cells);
    const input = by.key ?? by.range;
    if (input === undefined || (by.key !== undefined && by.range !== undefined)) {
      throw flowInvalid(this.#flow.name, null, `the read of ${cells} names a key or a range`);
    }
    const body: Body = { kind: "read", cells, by: by.key === undefined ? "range" : "key" };
    return this.#add(body, `read-${cells}`, [input, ...(options.after ?? [])], options);
  }

  /** Waits for an event that the application sends to the execution: an approval, a webhook. */
  wait<Schema extends StandardSchemaV1 = StandardSchemaV1>(
    event: string, schema?: Schema | null, options: DeadlineOptions & AfterOptions = {},
  ): Port<StandardSchemaV1.InferOutput<Schema>> {
    const { name, version } = this.#flow;
    checkName(name, "event", event);
    const operation = this.#nameFor(`wait-${event}`, options.name);
    const pinned = schema === undefined || schema === null ? null : pinSchema(schema, `${name}.wait.${operation}`, version);
    const body: Body = {
      kind: "wait",
      event,
      schema: useSchema(this.#uses, pinned, name),
      deadlineNs: this.#deadlineNs(options, "never"),
    };
    return this.#add(body, operation, options.after ?? [], { name: operation });
  }

  /** Lets time pass: ms, known now or computed. */
  sleep(ms: number | Port<number>, options: AfterOptions = {}): Port<null> {
    const { after = [] } = options;
    if (typeof ms !== "number") return this.#add({ kind: "sleep", durationNs: 0 }, "sleep", [ms, ...after], options);
    const durationNs = nsFromMs(this.#flow.name, "the sleep", ms, "zero");
    if (after.length === 0 && durationNs > 0) return this.#add({ kind: "sleep", durationNs }, "sleep", [], options);
    // The first input of a sleep is its duration; so with something to come after, a known one is an input too. A
    // sleep of no time has it as well, since 0 stands for a duration that is computed.
    return this.#add({ kind: "sleep", durationNs }, "sleep", [this.constant(ms), ...after], options);
  }

  /** The wall time, in ms since 1970. Two clocks with nothing between them may show the same. */
  clock(options: AfterOptions = {}): Port<number> {
    return this.#add({ kind: "clock" }, "clock", options.after ?? [], options);
  }

  /** The first of the ports to be written; what only the losers need is cancelled. The last argument may be options. */
  race<Values extends readonly [unknown, ...unknown[]]>(
    ...rest: [...PortsOf<Values>] | [...PortsOf<Values>, OperationOptions]
  ): Port<Values[number]> {
    const { ports, options } = withOptions(rest);
    return this.#add({ kind: "race" }, "race", ports, options);
  }

  /** Hands a value to the application while the flow goes on, at least once. Written when it was taken. */
  output(port: string, value: Port<unknown>, options: OperationOptions = {}): Port<null> {
    checkName(this.#flow.name, "output", port);
    return this.#add({ kind: "output", port }, `output-${port}`, [value], options);
  }

  /**
   * Catches the failure of the operation behind the port: it becomes a value, and what needs the operation's outputs is
   * skipped, in place of failing the execution. A race with what is made of the failure joins the two ways again.
   */
  failure(port: Port<unknown>): Port<Failure> {
    const index = this.#producers[this.#slotOf(port, "failure")];
    const operation = index === undefined ? undefined : this.#operations[index];
    if (index === undefined || operation === undefined) {
      throw flowInvalid(this.#flow.name, null, "failure() of an input: only an operation can fail");
    }
    if (operation.kind === "constant" || operation.kind === "select") {
      throw flowInvalid(this.#flow.name, operation.name, `a ${operation.kind} cannot fail`);
    }
    const slot = operation.onError ?? this.#newSlot(index);
    this.#operations[index] = { ...operation, onError: slot };
    return new Port(this, slot);
  }

  #run(build: BuildFunction): Draft {
    const { name, version, deadlineNs, subscribes } = this.#flow;
    const inputs = this.#flow.inputs.map((port): ProgramPort => {
      return { name: port.name, slot: this.#newSlot(-1), schema: useSchema(this.#uses, port.schema, name) };
    });
    const handles = inputs.map((port) => [port.name, new Port(this, port.slot)]);
    const given = build(this, Object.fromEntries(handles) as Record<string, Port<never>>) ?? {};
    this.#finished = true;
    for (const port of Object.keys(given)) {
      if (!this.#flow.outputs.some((output) => output.name === port)) throw flowInvalid(name, null, `no output port ${port}`);
    }
    const outputs = this.#flow.outputs.map((port): ProgramPort => {
      const handle = given[port.name];
      if (handle === undefined) throw flowInvalid(name, null, `the output port ${port.name} is not bound`);
      return { name: port.name, slot: this.#slotOf(handle, port.name), schema: useSchema(this.#uses, port.schema, name) };
    });
    return {
      program: {
        format: 1, name, version, inputs, outputs, deadlineNs, slots: this.#producers.length,
        operations: this.#operations, children: [], subscribes,
      },
      uses: this.#uses,
    };
  }

  #add<T>(body: Body, stem: string, ports: readonly Port<unknown>[], options: OperationOptions): Port<T> {
    const [output] = this.#addWide(body, stem, ports, 1, options);
    assert(output !== undefined, "an operation with one output has one");
    return output as Port<T>;
  }

  #addWide(
    body: Body, stem: string, ports: readonly Port<unknown>[], width: number, options: OperationOptions,
  ): Port<unknown>[] {
    if (this.#finished) throw flowInvalid(this.#flow.name, null, "the builder is used after its function returned");
    const name = this.#nameFor(stem, options.name);
    const inputs = ports.map((port) => this.#slotOf(port, name)); // B2
    const index = this.#operations.length;
    const outputs = Array.from({ length: width }, () => this.#newSlot(index)); // B1
    this.#names.add(name);
    this.#operations.push({ name, inputs, outputs, onError: null, ...body } as DraftOperation);
    return outputs.map((slot) => new Port(this, slot));
  }

  #newSlot(producer: number): number {
    return this.#producers.push(producer) - 1;
  }

  #slotOf(port: Port<unknown>, operation: string): number {
    if (!Port.isPort(port)) throw flowInvalid(this.#flow.name, operation, "it is given something that is no port");
    const slot = Port.slotIn(this, port);
    if (slot === undefined) throw flowInvalid(this.#flow.name, operation, "it is given a port of another flow");
    return slot;
  }

  #nameFor(stem: string, given: string | undefined): string {
    if (given !== undefined) {
      checkName(this.#flow.name, "operation", given);
      if (this.#names.has(given)) throw flowInvalid(this.#flow.name, given, "two operations have this name");
      return given;
    }
    let name = stem;
    for (let count = 2; this.#names.has(name); count++) name = `${stem}-${count}`;
    return name;
  }

  #fold({ cells, entries, fold }: CellFold<never>): Fold {
    const { name } = this.#flow;
    return { cells, entries: usePure(this.#uses, entries, name), fold: usePure(this.#uses, fold, name) };
  }

  #deadlineNs({ deadlineMs }: DeadlineOptions, otherwise: number | "never"): number | "never" {
    return deadlineMs === undefined ? otherwise : deadlineNsFromMs(this.#flow.name, deadlineMs);
  }

  #attempts(retry: Retry = { attempts: 1 }): number {
    checkCount(this.#flow.name, "retry.attempts", retry.attempts);
    return retry.attempts;
  }

  #soleInput(flow: AnyFlow): string {
    const [first, second] = flow.inputs;
    if (first !== undefined && second === undefined) return first.name;
    throw flowInvalid(this.#flow.name, null, `${flow.name} has ${flow.inputs.length} input ports: say which is the item's`);
  }

  /** The names of a flow's input ports, all of which must be given, and no others. */
  #portNames(flow: AnyFlow, given: object): string[] {
    const wanted = flow.inputs.map(({ name }) => name);
    const missing = wanted.filter((name) => !Object.hasOwn(given, name));
    const unknown = Object.keys(given).filter((name) => !wanted.includes(name));
    if (missing.length + unknown.length === 0) return wanted;
    throw flowInvalid(this.#flow.name, null, `${flow.name} takes ${wanted.join(", ") || "no ports"}, not ${Object.keys(given).join(", ") || "none"}`);
  }
}

/** The map's options with their types, which the signature has checked, forgotten. */
interface UntypedMapOptions extends OperationOptions {
  readonly item?: string;
  readonly with?: Readonly<Record<string, Port<unknown>>>;
  readonly to?: Port<Selection>;
  readonly concurrency?: number;
  readonly retry?: Retry;
  readonly hedge?: Hedge;
  readonly onItemFailure?: "fail" | "collect";
  readonly into?: CellFold<never> | readonly CellFold<never>[];
}

/** Written only where it says something, so that a program that leaves it open has one encoding. */
function hedgeField(hedge: Hedge = "auto"): { readonly hedge?: "never" } {
  return hedge === "never" ? { hedge } : {};
}

function portsIn(ports: object, names: readonly string[]): Port<unknown>[] {
  return names.map((name) => (ports as Record<string, Port<unknown>>)[name] as Port<unknown>);
}

/** Takes the options off the end of a list of ports. */
function withOptions<Options extends OperationOptions = OperationOptions>(
  rest: readonly (Port<unknown> | Options | undefined)[],
): { ports: Port<unknown>[]; options: Options } {
  const given = rest.filter((part) => part !== undefined);
  const last = given.at(-1);
  if (last === undefined || Port.isPort(last)) return { ports: given as Port<unknown>[], options: {} as Options };
  return { ports: given.slice(0, -1) as Port<unknown>[], options: last };
}
