import type { ProgramHash } from "../../base/ids.ts";
import type { HostDefinition, PureDefinition } from "../definitions.ts";
import type { DraftProgram } from "../draft.ts";
import type { Program } from "../program.ts";

/** One step of the compiler. Idempotent: run on its own result, it changes nothing. */
export interface Pass {
  readonly name: string;
  /** Throws FLOW_INVALID. */
  readonly run: (unit: CompileUnit, scope: CompileScope) => CompileUnit;
}

/** What passes hand on: the program so far, and the child programs that were made up for its remote maps. */
export interface CompileUnit {
  readonly program: DraftProgram;
  readonly children: ReadonlyMap<ProgramHash, Program>;
}

/** What a program may refer to, as passes see it. */
export interface CompileScope {
  pure(pin: string): PureDefinition | undefined;
  host(pin: string): HostDefinition | undefined;
  hasSchema(pin: string): boolean;
  flow(name: string): FlowSignature | undefined;
  /** The compiled program of a flow that runs on this node, as a child. Throws FLOW_INVALID if it would run itself. */
  programOf(flow: string): CompiledProgram;
  /** Runs all passes on a made-up program of the same scope. */
  compile(program: DraftProgram): CompiledProgram;
  /** A program that `programOf` or `compile` returned earlier. */
  child(hash: ProgramHash): Program | undefined;
  /** The longest path of nested calls that a request for the flow starts, the flow itself first. */
  pathOf(flow: string): readonly string[];
}

export interface CompiledProgram {
  readonly hash: ProgramHash;
  readonly program: Program;
}

/** The ports of a flow, each list sorted. */
export interface FlowSignature {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly deadlineNs: number | "never";
}

/** The unit's program, once `lower-maps` has run. */
export function loweredProgram(unit: CompileUnit): Program {
  return unit.program as Program;
}
