import { flowInvalid } from "../flow-invalid.ts";
import { programHash } from "../program-hash.ts";
import { checkGates } from "./check-gates.ts";
import { checkPorts } from "./check-ports.ts";
import { deriveDeadlines } from "./derive-deadlines.ts";
import { insertGates } from "./insert-gates.ts";
import { lowerMaps } from "./lower-maps.ts";
import { loweredProgram } from "./pass.ts";
import { stampChains } from "./stamp-chains.ts";
import type { ProgramHash } from "../../base/ids.ts";
import type { DraftProgram, Uses } from "../draft.ts";
import type { AnyFlow } from "../flow.ts";
import type { Program } from "../program.ts";
import type { CompiledProgram, CompileScope, CompileUnit, FlowSignature, Pass } from "./pass.ts";

/** The compiler, in order. */
export const PASSES: readonly Pass[] = [lowerMaps, checkPorts, deriveDeadlines, stampChains, insertGates, checkGates];

/** A flow after its last pass. */
export interface CompiledFlow extends CompiledProgram {
  /** Programs made up for its remote maps. */
  readonly children: ReadonlyMap<ProgramHash, Program>;
}

/** What a pass made of a program: the flow's own, or one made up for a remote map. */
export interface Stage {
  readonly pass: string;
  readonly before: DraftProgram;
  readonly after: DraftProgram;
}

/** Compiles flows that may refer to one another, each once. */
export class Compiler {
  readonly #compiled = new Map<AnyFlow, CompiledFlow>();
  /** The flows being compiled, each run by the one before as a child. */
  readonly #open = new Set<AnyFlow>();

  /** Throws FLOW_INVALID. */
  compile(flow: AnyFlow): CompiledFlow {
    const known = this.#compiled.get(flow);
    if (known !== undefined) return known;
    if (this.#open.has(flow)) throw flowInvalid(flow.name, null, "it runs itself as a child; only calls may recur");
    this.#open.add(flow);
    try {
      const compiled = runPasses(flow.draft().program, new FlowScope(this, flow.draft().uses), unobserved);
      this.#compiled.set(flow, compiled);
      return compiled;
    } finally {
      this.#open.delete(flow);
    }
  }

  /** Every pass over the flow's program, then over those made up for its remote maps. */
  stages(flow: AnyFlow): Stage[] {
    const stages: Stage[] = [];
    const { program, uses } = flow.draft();
    runPasses(program, new FlowScope(this, uses, (stage) => stages.push(stage)), (stage) => stages.push(stage));
    // The made-up programs pass through while `lower-maps` is at work on the flow's own.
    const own = stages.filter(({ after }) => after.name === flow.name);
    return [...own, ...stages.filter((stage) => !own.includes(stage))];
  }
}

type Observer = (stage: Stage) => void;

const unobserved: Observer = () => {};

function runPasses(draft: DraftProgram, scope: CompileScope, observe: Observer): CompiledFlow {
  let unit: CompileUnit = { program: draft, children: new Map() };
  for (const pass of PASSES) {
    const before = unit.program;
    unit = pass.run(unit, scope);
    observe({ pass: pass.name, before, after: unit.program });
  }
  const program = loweredProgram(unit);
  return { hash: programHash(program), program, children: unit.children };
}

/** What one flow's program may refer to: what its builder function used. */
export class FlowScope implements CompileScope {
  readonly #compiler: Compiler;
  readonly #uses: Uses;
  readonly #observe: Observer;
  readonly #children = new Map<ProgramHash, Program>();

  constructor(compiler: Compiler, uses: Uses, observe: Observer = unobserved) {
    this.#compiler = compiler;
    this.#uses = uses;
    this.#observe = observe;
  }

  pure(pin: string) {
    return this.#uses.pure.get(pin);
  }

  host(pin: string) {
    return this.#uses.host.get(pin);
  }

  hasSchema(pin: string): boolean {
    return this.#uses.schemas.has(pin);
  }

  flow(name: string): FlowSignature | undefined {
    const flow = this.#uses.flows.get(name);
    if (flow === undefined) return undefined;
    const inputs = flow.inputs.map((port) => port.name);
    return { inputs, outputs: flow.outputs.map((port) => port.name), deadlineNs: flow.deadlineNs };
  }

  programOf(name: string): CompiledProgram {
    return this.#remember(this.#compiler.compile(this.#flow(name)));
  }

  compile(program: DraftProgram): CompiledProgram {
    return this.#remember(runPasses(program, this, this.#observe));
  }

  child(hash: ProgramHash): Program | undefined {
    return this.#children.get(hash);
  }

  pathOf(name: string): readonly string[] {
    return longestPath(this.#flow(name), new Set(), new Map());
  }

  #remember(child: CompiledProgram): CompiledProgram {
    this.#children.set(child.hash, child.program);
    return child;
  }

  #flow(name: string): AnyFlow {
    const flow = this.#uses.flows.get(name);
    if (flow === undefined) throw flowInvalid(name, null, "the flow is unknown");
    return flow;
  }
}

/**
 * The flow and the longest path of calls below it; the first of several. Calls of a flow that is already on the path
 * end it. Found anew for every call, so that it depends on nothing but the flows.
 */
function longestPath(flow: AnyFlow, above: ReadonlySet<AnyFlow>, found: Map<AnyFlow, readonly string[]>): readonly string[] {
  const known = found.get(flow);
  if (known !== undefined) return known;
  const here = new Set(above).add(flow);
  const { program, uses } = flow.draft();
  let longest: readonly string[] = [];
  for (const operation of program.operations) {
    if (operation.kind !== "call" && operation.kind !== "map-flow") continue;
    const next = uses.flows.get(operation.flow);
    if (next === undefined || here.has(next)) continue;
    const path = longestPath(next, here, found);
    // A local map runs its flow here: the flow's calls are a hop away, the flow itself is none.
    const below = operation.kind === "map-flow" && !operation.remote ? path.slice(1) : path;
    if (below.length > longest.length) longest = below;
  }
  found.set(flow, [flow.name, ...longest]);
  return [flow.name, ...longest];
}
