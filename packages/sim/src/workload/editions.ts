import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import type { Edition } from "./chain.ts";
import type { Request } from "./request.ts";

/** Which edition of the programs each node has, and since when. There is no way back. */
export class Editions {
  readonly #upgraded = new Set<Machine>();
  readonly #sinceNs = new Map<Machine, number>();

  /** From its next start on the machine has the second edition. */
  upgrade(machine: Machine): void {
    this.#upgraded.add(machine);
  }

  of(machine: Machine): Edition {
    return this.#upgraded.has(machine) ? 2 : 1;
  }

  /** A process has taken over what the disk held, with the edition that its machine has now. */
  started({ machine, engine }: Process): void {
    if (!this.#upgraded.has(machine)) return;
    if (!this.#sinceNs.has(machine)) this.#sinceNs.set(machine, machine.world.now);
    const isOlder = ({ program: { program } }: { program: { program: { name: string; version: number } } }): boolean => program.name.startsWith("chain-") && program.version === 1;
    if ([...engine.state.executions.values()].some(isOlder)) machine.world.reached("work of an older edition went on");
  }

  /** Was that the newest edition that the machine knew when the request came, which was before `knownAtNs`? */
  check(machine: Machine, edition: Edition, { id, askedAtNs }: Request, knownAtNs: number): void {
    const since = this.#sinceNs.get(machine) ?? Infinity;
    const mustBeNew = since <= askedAtNs;
    const mustBeOld = since === Infinity || since > knownAtNs;
    require(edition === 2 || !mustBeNew, "edition", () => `${machine.name} ran ${id} in its first edition, and has the second since before it was asked for`);
    require(edition === 1 || !mustBeOld, "edition", () => `${machine.name} ran ${id} in an edition that it did not have yet`);
  }
}
