import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { RuntimeError } from "@holdfast/core";
import type { Fleet } from "./define-fleet.ts";

/** Where fleets keep their data unless told otherwise, below the working directory. */
const HOME = ".holdfast";

/** What every command needs to know of a fleet, as `holdfast up` last wrote it. */
export interface FleetRecord {
  readonly format: 2;
  readonly name: string;
  /** The fleet file. */
  readonly file: string;
  /** In the order of the file; commands that name no node mean the first. */
  readonly nodes: readonly NodeRecord[];
}

export interface NodeRecord {
  readonly name: string;
  readonly id: string;
  readonly directory: string;
  /** Where it listens; null if it only dials. */
  readonly address: string | null;
  /** As what the broker runs it: how commands reach it. */
  readonly service: NodeService;
}

/** A node as a service of the fleet's broker. */
export interface NodeService {
  /** The fleet's own trust domain. */
  readonly domain: string;
  readonly service: string;
  readonly version: string;
  /** The run of `holdfast up` that started it: the nodes of an earlier one may have run other code. */
  readonly build: string;
}

/** A job that was begun with this data. */
export interface JobRecord {
  readonly id: string;
  readonly title: string;
  readonly args: readonly string[];
  readonly completed: boolean;
}

/**
 * A fleet's directory, mode 0700: a directory for each node, the lock, and small records. No file of it has an extension
 * that a text index would take for text.
 */
export class FleetDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  static ofFleet(name: string, given: string | undefined): FleetDirectory {
    return new FleetDirectory(given ?? join(HOME, name));
  }

  /** The directory that a command means: the one given, or the only one there is. Throws NOT_FOUND. */
  static find(given: string | undefined): FleetDirectory {
    if (given !== undefined) return new FleetDirectory(given);
    const found = listFleets();
    if (found.length === 1) return new FleetDirectory(join(HOME, found[0] as string));
    throw new RuntimeError("NOT_FOUND", found.length === 0
      ? { what: `a fleet in ./${HOME}; start one with holdfast up, or name its directory with --data` }
      : { what: "the one fleet that is meant; name it with --data", fleets: found.map((name) => join(HOME, name)).join(" ") });
  }

  /** Makes it; refuses one that holds something else. Throws FLEET_INVALID. */
  create(): void {
    const made = mkdirSync(this.path, { recursive: true, mode: 0o700 }) !== undefined;
    if (!made && readdirSync(this.path).length > 0 && !this.#has("fleet") && !this.#has("up.lock")) {
      throw new RuntimeError("FLEET_INVALID", { data: this.path, reason: "the directory holds something else" });
    }
    if ((statSync(this.path).mode & 0o077) !== 0) chmodSync(this.path, 0o700);
  }

  nodeDirectory(name: string, given?: string): string {
    return given === undefined ? join(this.path, name) : resolve(given);
  }

  /** The trust domain of the fleet that lives here: a broker of its own. */
  domain(fleet: string): string {
    return `fleet-${fleet}-${createHash("sha256").update(this.path).digest("hex").slice(0, 8)}`;
  }

  /** Throws NOT_FOUND. */
  read(): FleetRecord {
    const record = this.#readRecord<FleetRecord>("fleet");
    if (record === undefined) throw new RuntimeError("NOT_FOUND", { what: `a fleet in ${this.path}` });
    return record;
  }

  readIfThere(): FleetRecord | undefined {
    return this.#readRecord<FleetRecord>("fleet");
  }

  write(record: FleetRecord): void {
    this.#writeRecord("fleet", record);
  }

  /** A node of the fleet; without a name the first. Throws NOT_FOUND. */
  node(name: string | undefined): NodeRecord {
    const { nodes } = this.read();
    const node = name === undefined ? nodes[0] : nodes.find((one) => one.name === name);
    if (node === undefined) throw new RuntimeError("NOT_FOUND", { node: name, nodes: nodes.map((one) => one.name).join(" ") });
    return node;
  }

  readJob(): JobRecord | undefined {
    return this.#readRecord<JobRecord>("job");
  }

  writeJob(record: JobRecord): void {
    this.#writeRecord("job", record);
  }

  /** Removes the fleet's state and records; the lock's files stay while it is held. */
  clear(fleet: Fleet): void {
    const known = this.readIfThere()?.nodes.map(({ name }) => name) ?? [];
    for (const name of new Set([...known, ...fleet.nodes.keys()])) rmSync(join(this.path, name), { recursive: true, force: true });
    for (const name of ["fleet", "job"]) rmSync(join(this.path, name), { force: true });
  }

  /** After `clear`, the lock still held: removes what is left, unless somebody put something else there. */
  remove(): void {
    for (const name of ["up.lock", "up.pid"]) rmSync(join(this.path, name), { force: true });
    for (const path of [this.path, dirname(this.path)]) {
      if (path !== this.path && path !== resolve(HOME)) return;
      if (readdirSync(path).length > 0) return;
      rmdirSync(path);
    }
  }

  #has(name: string): boolean {
    return statSync(join(this.path, name), { throwIfNoEntry: false }) !== undefined;
  }

  #readRecord<Record>(name: string): Record | undefined {
    if (!this.#has(name)) return undefined;
    try {
      return JSON.parse(readFileSync(join(this.path, name), "utf8")) as Record;
    } catch (error) {
      throw new RuntimeError("FLEET_INVALID", { data: join(this.path, name), reason: (error as Error).message }, { cause: error });
    }
  }

  /** By way of a draft: a reader sees the old record or the new. */
  #writeRecord(name: string, record: object): void {
    const draft = join(this.path, `.${name}-${process.pid}`);
    writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true });
    renameSync(draft, join(this.path, name));
  }
}

function listFleets(): string[] {
  try {
    return readdirSync(HOME).filter((name) => statSync(join(HOME, name, "fleet"), { throwIfNoEntry: false }) !== undefined).sort();
  } catch {
    return [];
  }
}
