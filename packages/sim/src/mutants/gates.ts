import { type Definitions, encodeValue, type Operation, type PeerId, peerIdFromEd25519, type Program, type ProgramHash, sha256Hex, type Value } from "@holdfast/core";
import type { Process } from "../world/process.ts";
import { runIntoCooldown } from "./cooldown-course.ts";
import type { Mutant } from "./mutant.ts";

function openInCooldown({ engine: { state: { governor } } }: Process): void {
  governor.checkOutbound = (peer) => governor.checkInbound(peer);
}

function ignorePolicy({ engine: { state: { governor } } }: Process): void {
  const { policy } = governor;
  governor.checkInbound = policy.check = policy.checkAddress = policy.judge = () => ({ allow: true });
}

function ignoreAddresses({ engine: { state: { governor: { policy } } } }: Process): void {
  policy.checkAddress = policy.judge = (peer) => policy.check(peer);
}

function forgetAtExpiry({ engine: { state: { governor: { policy } } } }: Process): void {
  const expire = policy.expire.bind(policy);
  // All at once, as soon as anything has a time of its own.
  policy.expire = () => (policy.nextExpiry === "never" ? [] : expire(Infinity));
}

const compiled = new WeakMap<Definitions, Definitions>();

/** What a compiler makes that leaves out the gates before calls to a peer that the flow names: the permit is a constant. */
function compileWithoutGates(given: Definitions): Definitions {
  const known = compiled.get(given);
  if (known !== undefined) return known;
  const hashes = new Map<ProgramHash, ProgramHash>();
  const programs = new Map<ProgramHash, Program>();
  for (const [hash, program] of given.programs) {
    const bare: Program = { ...program, operations: program.operations.map((operation) => withoutGate(program, operation)) };
    const bareHash = sha256Hex(encodeValue(bare as unknown as Value)) as ProgramHash;
    hashes.set(hash, bareHash);
    programs.set(bareHash, bare);
  }
  const flows = new Map([...given.flows].map(([name, hash]) => [name, hashes.get(hash) as ProgramHash]));
  const definitions = { ...given, programs, flows };
  compiled.set(given, definitions);
  return definitions;
}

function withoutGate(program: Program, operation: Operation): Operation {
  if (operation.kind !== "gate") return operation;
  const selection = program.operations.find(({ outputs }) => outputs.includes(operation.inputs[0] as number));
  const name = selection?.kind === "constant" ? (selection.value as { peer?: string }).peer : undefined;
  if (name === undefined) return operation;
  return { kind: "constant", name: operation.name, inputs: [], outputs: operation.outputs, onError: null, value: idOf(name) };
}

/** As a machine makes its id from its number. */
function idOf(name: string): PeerId {
  return peerIdFromEd25519(new Uint8Array(32).fill(Number(name.slice(1)) + 1));
}

/** Work goes to a peer that is to be left alone. */
export const GATES: readonly Mutant[] = [
  { name: "cooldown-ignored", does: "the gate lets requests through to a peer in cooldown", flaws: { patch: openInCooldown } },
  { name: "policy-ignored", does: "a peer that policy denies is spoken with", flaws: { patch: ignorePolicy } },
  { name: "range-ignored", does: "a peer at an address that policy denies is spoken with", flaws: { patch: ignoreAddresses } },
  { name: "block-ends-early", does: "a block that was made for a time ends before it", flaws: { patch: forgetAtExpiry } },
  {
    name: "gate-bypassed", does: "the compiler puts no gate before calls to a peer that a flow names",
    flaws: { definitions: compileWithoutGates }, course: runIntoCooldown, // a seed would restart over such a program, which is refused
  },
];
