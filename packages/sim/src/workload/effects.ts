import type { ExecutionId, Outcome, Value } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import { jobValue } from "../world/outside.ts";
import type { Process } from "../world/process.ts";
import type { World } from "../world/world.ts";
import { chainResult, type Edition, editionOfCount } from "./chain.ts";
import { isWhole } from "./outcome.ts";
import type { Request } from "./request.ts";
import { indexOf, showCell } from "./text-index.ts";

/**
 * What all requests have left behind, when everything has ended:
 *
 *   E1. Each is counted at most once by each node of its path, and by nobody behind one that has not counted it. If it ended
 *       well, or by its own work, everybody has, and its work was done.
 *   E2. Each node ran each request in one edition of its program, from the first operation to the last, and in the newest
 *       that it knew when the request came.
 *   E3. Each item of a map was added up at most once, each batch merged at most once, and all of them if it ended well.
 *   E4. The index is that of the batches which were merged.
 *   E5. Nothing else was counted, added up or merged.
 */
export function checkEffects(world: World): void {
  for (const request of world.requests) new RequestEffects(world, request).check();
  for (const machine of world.machines) checkTables(world, machine);
}

function cellsOf(machine: Machine, table: string): ReadonlyMap<string, Value> {
  const { process } = machine;
  return new Map((process as Process).engine.state.cells.table(table).entries());
}

/** Of one request. */
class RequestEffects {
  readonly #world: World;
  readonly #request: Request;
  readonly #outcome: Outcome;

  constructor(world: World, request: Request) {
    this.#world = world;
    this.#request = request;
    const { process } = world.machines[request.at] as Machine;
    const ended = (process as Process).engine.state.finished.get(request.id as ExecutionId);
    require(ended !== undefined, "progress", () => `${request.id} never ended`);
    this.#outcome = (ended as NonNullable<typeof ended>).outcome;
  }

  check(): void {
    const { id, items, kind } = this.#request;
    const whole = isWhole(this.#request, this.#outcome);
    this.#checkPath(whole);
    if (!this.#outcome.ok) this.#world.reached(`${kind} ended by ${this.#outcome.failure.code}`);
    for (const item of items) {
      const asked = this.#world.outside.asked.get(item) ?? 0;
      require(asked > 0 || !whole, "effect-once", () => `the work ${item} of ${id} was never done`);
      if (asked > 1) this.#world.reached("work was done more than once outside");
    }
  }

  #checkPath(whole: boolean): void {
    const { id, path, kind } = this.#request;
    const machines = path.map((at) => this.#world.machines[at] as Machine);
    const counts = machines.map(({ process }) => (process as Process).engine.state.cells.table("counts").get(id));
    const editions = counts.map(editionOfCount);
    const reached = counts.findIndex((count) => count === undefined);
    counts.forEach((count, at) => {
      const { name } = machines[at] as Machine;
      require(count === undefined || editions[at] !== undefined, "effect-once", () => `${name} counted ${id} up to ${String(count)}`); // E1
      require(count !== undefined || !whole, "effect-once", () => `${name} did not count ${id}`); // E1
      require(count === undefined || reached < 0 || at < reached, "effect-once", () => `${name} counted ${id}, and ${machines[reached]?.name} before it did not`); // E1
      if (count === undefined) return;
      const isChain = kind === "chain" || at > 0;
      require(isChain || editions[at] === 1, "edition", () => `${name} counted ${id} in an edition that ${this.#request.flow} does not have`);
      if (isChain) this.#world.editions.check(machines[at] as Machine, editions[at] as Edition, this.#request, this.#ranBeforeNs);
      if (at > 0) this.#world.times.ran(machines[at] as Machine, this.#request);
    });
    if (this.#outcome.ok && whole && (kind === "chain" || kind === "hurried")) this.#checkEditions(editions as Edition[]);
  }

  /** By then everybody who counted it must have done so; a request that was given up may still be on its way. */
  get #ranBeforeNs(): number {
    const { kind, finished, finishedAtNs } = this.#request;
    return this.#outcome.ok && finished && kind === "chain" ? finishedAtNs : Infinity;
  }

  /** E2: the count shows with which edition each execution began, the result with which it ended. */
  #checkEditions(editions: readonly Edition[]): void {
    const { id, kind } = this.#request;
    const { n } = (this.#outcome as Extract<Outcome, { ok: true }>).value as { n: number };
    const expected = kind === "chain" ? chainResult(id, editions) : 1 + chainResult(id, editions.slice(1));
    require(n < 0 || n === expected, "edition", () => `${id} came to ${n}, and editions ${editions.join(", ")} make ${expected} of it`);
    if (kind === "chain" && new Set(editions).size > 1) this.#world.reached("a chain of two editions");
  }
}

function checkTables(world: World, machine: Machine): void {
  const { name, index, client } = machine;
  const own = [...client.requests.values()];
  for (const id of cellsOf(machine, "counts").keys()) {
    const request = world.requests.find((one) => one.id === id);
    require(request?.path.includes(index) === true, "effect-once", () => `${name} counted ${id}, which is not its own`); // E5
  }
  const sums = cellsOf(machine, "sums");
  checkPieces(machine, { what: "added up", found: sums, of: own.filter(({ kind }) => kind === "spread"), isRight: (item, cell) => cell === jobValue(item) });
  const merged = cellsOf(machine, "merged");
  checkPieces(machine, { what: "merged", found: merged, of: own.filter(({ kind }) => kind === "index"), isRight: (_, cell) => (cell as number[])[0] === 1 });
  const expected = indexOf([...merged.keys()]);
  const found = cellsOf(machine, "index");
  for (const [term, cell] of found) {
    require(expected.get(term) === showCell(cell), "effect-once", () => `${name} found ${term} ${showCell(cell)}, and it is ${expected.get(term)}`); // E4
  }
  require(found.size === expected.size, "effect-once", () => `${name} found ${found.size} terms of ${expected.size}`); // E4
}

/** E3, E5. */
function checkPieces(machine: Machine, given: { what: string; found: ReadonlyMap<string, Value>; of: readonly Request[]; isRight: (item: string, cell: Value) => boolean }): void {
  const { what, found, of, isRight } = given;
  const known = new Set<string>();
  for (const request of of) {
    const ended = (machine.process as Process).engine.state.finished.get(request.id as ExecutionId);
    for (const item of request.items) {
      if (item === request.id) continue; // its list, which is not a piece
      known.add(item);
      const cell = found.get(item);
      require(cell !== undefined || ended?.outcome.ok !== true, "effect-once", () => `${machine.name} never ${what} ${item}`);
      require(cell === undefined || isRight(item, cell), "effect-once", () => `${machine.name} ${what} ${item}: ${JSON.stringify(cell)}`);
    }
  }
  for (const item of found.keys()) require(known.has(item), "effect-once", () => `${machine.name} ${what} ${item}, which is not its own`);
}
