import type { StandardSchemaV1 } from "@standard-schema/spec";
import { LINK_SITE } from "../base/ids.ts";
import { FlowBuilder } from "./flow-builder.ts";
import { checkCount, checkFlowName, checkName, deadlineNsFromMs, flowInvalid } from "./flow-invalid.ts";
import { pinSchema } from "./port-schema.ts";
import type { Draft } from "./draft.ts";
import type { Port, PortsOf } from "./port.ts";
import type { Checked, Given, PinnedSchema, PortSchemas } from "./port-schema.ts";

export interface FlowOptions<In extends PortSchemas, Out extends PortSchemas> {
  /** Default 1. New work takes the newest version; work in flight keeps its own. */
  readonly version?: number;
  /** Ports and their Standard Schemas. Default: none. */
  readonly input?: In;
  readonly output?: Out;
  /** Ms from the start of an execution, or never. Bounds everything that the flow does. */
  readonly deadlineMs: number | "never";
  /** Kinds of event, of the node or the application, that start the flow; its only input port takes the event. */
  readonly on?: readonly string[];
}

/** What the builder function returns: a port for each output. A flow without outputs may return nothing. */
export type FlowOutputs<Out extends PortSchemas> = keyof Out extends never
  ? PortsOf<Given<Out>> | void
  : PortsOf<Given<Out>>;

/**
 * Defines a flow. The builder function runs once, when the flow is first compiled; what it leaves behind is data.
 *
 * Ports are typed as the side that holds them sees them: inputs inside as their schemas put them out, outputs inside as
 * their schemas take them in. Throws FLOW_INVALID, also later when the flow is built.
 *
 * @example
 * const greet = flow("greet", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 5_000 },
 *   (b, { name }) => ({ text: b.host(hello, name) }));
 */
export function flow<In extends PortSchemas = {}, Out extends PortSchemas = {}>(
  name: string,
  options: FlowOptions<In, Out>,
  build: (b: FlowBuilder, inputs: PortsOf<Checked<In>>) => FlowOutputs<Out>,
): Flow<Given<In>, Checked<Out>> {
  return new Flow(name, options, build as BuildFunction);
}

export type BuildFunction = (b: FlowBuilder, inputs: Record<string, Port<never>>) => Record<string, Port<unknown>> | void;

/** A port as the flow declares it. */
export interface FlowPort {
  readonly name: string;
  /** Null: any value. */
  readonly schema: PinnedSchema | null;
}

declare const flowInput: unique symbol;
declare const flowOutput: unique symbol;

/** A named, versioned flow: what applications invoke, nodes call and maps run. `In` and `Out` are records of ports. */
export class Flow<in In, out Out> {
  declare readonly [flowInput]: (input: In) => void;
  declare readonly [flowOutput]: Out;
  readonly name: string;
  readonly version: number;
  /** Sorted by name. */
  readonly inputs: readonly FlowPort[];
  readonly outputs: readonly FlowPort[];
  readonly deadlineNs: number | "never";
  readonly subscribes: readonly string[];
  readonly #build: BuildFunction;
  #draft: Draft | undefined;

  constructor(name: string, options: FlowOptions<PortSchemas, PortSchemas>, build: BuildFunction) {
    const { version = 1, input = {}, output = {}, deadlineMs, on = [] } = options;
    checkFlowName(name);
    checkCount(name, "version", version);
    // A flow's round trips with a peer are kept under its name, beside those of the link itself.
    if (name === LINK_SITE) throw flowInvalid(name, null, "the name is taken: it stands for the link to a peer");
    if (on.length > 0 && Object.keys(input).length !== 1) {
      throw flowInvalid(name, null, "a flow that events start has one input port, for the event");
    }
    this.name = name;
    this.version = version;
    this.inputs = flowPorts(name, version, "in", input);
    this.outputs = flowPorts(name, version, "out", output);
    this.deadlineNs = deadlineNsFromMs(name, deadlineMs);
    this.subscribes = [...new Set(on)].sort();
    this.#build = build;
  }

  /** What the builder function makes of it; runs it once. */
  draft(): Draft {
    this.#draft ??= FlowBuilder.build(this, this.#build);
    return this.#draft;
  }
}

/** A flow of whatever ports. */
export type AnyFlow = Flow<never, unknown>;

function flowPorts(flow: string, version: number, way: "in" | "out", schemas: PortSchemas): FlowPort[] {
  return Object.keys(schemas).sort().map((name) => {
    checkName(flow, "port", name);
    return { name, schema: pinSchema(schemas[name] as StandardSchemaV1, `${flow}.${way}.${name}`, version) };
  });
}
