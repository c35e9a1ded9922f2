import { RuntimeError } from "../base/errors.ts";
import { Random, type RandomState } from "../base/random.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { CommandId, ExecutionId, PeerId, ProgramHash } from "../base/ids.ts";
import { programHash } from "../flow/program-hash.ts";
import { LinkedProgram, missingDefinitions } from "../flow/program-link.ts";
import type { PolicyEntry } from "../peer/policy/peer-policy.ts";
import { validateProgram } from "../flow/validate-program.ts";
import type { Program } from "../flow/program.ts";
import { Command } from "./command.ts";
import type { EngineState } from "./engine-state.ts";
import { Execution, parseSlotKey, STATUS } from "./execution.ts";
import { FinishedExecution } from "./finished-executions.ts";
import { Peer } from "./peer.ts";
import { RowReader } from "./row-reader.ts";
import { ROW, SPEC_VERSION, type Encoded } from "./rows.ts";
import { Session } from "./session.ts";
import { restoreSoftState } from "./soft-state.ts";

/** What a start found. */
export interface RestoreReport {
  readonly rows: number;
  readonly executions: number;
  /** Awake time at the last commit: the clock of detectors and budgets goes on from there. */
  readonly awakeAtCommit: number;
}

/** The one-of-a-kind row, as it was stored. */
export interface StoredNode {
  readonly peer: PeerId;
  readonly lineage: string;
  readonly incarnation: number;
  readonly nextCommand: number;
  readonly nextExecution: number;
  readonly random: RandomState;
  readonly now: number;
  readonly pausedNs: number;
  readonly wallMs: number;
  readonly counters: readonly (readonly [string, number])[];
}

/** Reads the row `node`. Refuses any spec version but our own before anything else is looked at. */
export function readNodeRow(bytes: Uint8Array): StoredNode {
  const reader = RowReader.of(ROW.node, bytes);
  const version = reader.whole();
  if (version !== SPEC_VERSION) {
    throw new RuntimeError("SNAPSHOT_INVALID", { part: "spec version", found: version, supported: SPEC_VERSION });
  }
  const stored = {
    peer: reader.text() as PeerId, lineage: reader.text(), incarnation: reader.whole(),
    nextCommand: reader.whole(), nextExecution: reader.whole(),
    random: reader.items() as unknown as RandomState, now: reader.whole(), pausedNs: reader.whole(), wallMs: reader.whole(),
    counters: reader.lists().map((pair) => [pair.text(), pair.whole()] as const),
  };
  reader.end();
  return stored;
}

/** Whatever goes wrong while one row is read is that row's damage. */
function naming<T>(part: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    // A row's key is already the best name; the peer components only know their own parts.
    const named = cause instanceof RuntimeError && cause.code === "SNAPSHOT_INVALID" && String(cause.details["part"]).includes("/");
    if (named) throw cause;
    throw new RuntimeError("SNAPSHOT_INVALID", { part, reason: (cause as Error).message }, { cause });
  }
}

/** Rows by family, so that each part is restored after what it refers to. An unknown family is an error. */
function sortByFamily(rows: readonly Encoded[]): Map<string, Encoded[]> {
  const families = new Map<string, Encoded[]>(Object.values(ROW).map((family) => [family, []]));
  let name = "";
  let family: Encoded[] | undefined;
  for (const row of rows) {
    const key = row[0];
    const isNext = name.endsWith("/") && key.startsWith(name); // a store's rows come family by family
    if (!isNext) {
      name = key.slice(0, key.indexOf("/") + 1) || key;
      family = families.get(name);
    }
    if (family === undefined) throw new RuntimeError("SNAPSHOT_INVALID", { part: key, reason: "an unknown part" });
    family.push(row);
  }
  return families;
}

/** Fills an empty state from rows. Throws before anything runs; a state that it threw on must not be used. */
export function restoreRows(state: EngineState, rows: readonly Encoded[]): RestoreReport {
  const nodeRow = rows.find(([key]) => key === ROW.node)?.[1];
  if (nodeRow === undefined) throw new RuntimeError("SNAPSHOT_INVALID", { part: "node", reason: "missing" });
  const stored = readNodeRow(nodeRow);
  const families = sortByFamily(rows);
  const of = (family: string): readonly Encoded[] => families.get(family) ?? [];
  const one = (family: string): Uint8Array | undefined => of(family)[0]?.[1];
  if (stored.peer !== state.identity.peer) throw new RuntimeError("STORE_FOREIGN", { found: stored.peer, expected: state.identity.peer });
  state.node.persisted = true;
  state.nextCommand = stored.nextCommand;
  state.nextExecution = stored.nextExecution;
  state.random = naming(ROW.node, () => Random.restore(stored.random));
  state.now = stored.now;
  state.pausedNs = stored.pausedNs;
  state.wallMs = stored.wallMs;
  for (const [name, count] of stored.counters) state.counters.set(name, count);

  naming(ROW.policy, () => restorePolicy(state, one(ROW.policy)));
  restorePeers(state, of(ROW.peer), of(ROW.session), of(ROW.outbox));
  for (const row of [...of(ROW.soft), ...of(ROW.priors)]) naming(row[0], () => restoreSoftState(state, row));
  for (const peer of state.peers.values()) naming(peer.key, () => applyHard(state, peer));
  naming(ROW.cells, () => state.cells.restore(of(ROW.cells)));
  state.finished.restore(of(ROW.result).map(([key, bytes]) => FinishedExecution.restore(key.slice(ROW.result.length) as ExecutionId, bytes)));

  const programs = restorePrograms(state, of(ROW.program));
  restoreExecutions(state, programs, of(ROW.execution), of(ROW.slot));
  const awake = Math.max(0, stored.now - stored.pausedNs);
  const commands = of(ROW.command).map(([key, bytes]) => {
    const command = Command.restore(Number(key.slice(ROW.command.length)) as CommandId, bytes, awake);
    if (command.key !== key || command.id >= state.nextCommand) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part: key, reason: "a number that was never given" });
    }
    return command;
  });
  // In the order in which they came to be: requests that wait for a peer's window keep their turn.
  for (const command of commands.sort((a, b) => a.id - b.id)) state.commands.set(command.id, command);
  restoreFrontier(state, one(ROW.frontier));
  const bus = one(ROW.bus);
  if (bus !== undefined) state.bus.restore(bus);
  checkConservation(state);
  return { rows: rows.length, executions: state.executions.size, awakeAtCommit: awake };
}

function restorePolicy(state: EngineState, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) return;
  const reader = RowReader.of(ROW.policy, bytes);
  const entries = reader.lists().map((entry) => {
    const [kind, on, what] = [entry.text(), entry.text(), entry.text()];
    const read = { kind, on, what, until: entry.nullOr(() => entry.whole()) ?? "never", by: entry.text(), reason: entry.text(), addedAt: entry.whole() };
    entry.end();
    return read as PolicyEntry;
  });
  state.governor.policy.restore({ entries, listed: reader.flag() });
  state.governor.setFailureThreshold(reader.whole());
  reader.end();
  state.policy.persisted = true;
}

function restorePeers(state: EngineState, peers: readonly Encoded[], sessions: readonly Encoded[], outbox: readonly Encoded[]): void {
  const outboxOf = new Map<string, Encoded[]>();
  for (const row of outbox) {
    const peer = row[0].slice(ROW.outbox.length, row[0].indexOf("/", ROW.outbox.length));
    const list = outboxOf.get(peer) ?? [];
    list.push(row);
    outboxOf.set(peer, list);
  }
  const sessionOf = new Map<PeerId, Session>();
  for (const [key, bytes] of sessions) {
    const id = key.slice(ROW.session.length) as PeerId;
    sessionOf.set(id, naming(key, () => Session.restore(id, bytes, outboxOf.get(id) ?? [])));
    outboxOf.delete(id);
  }
  if (outboxOf.size > 0) throw new RuntimeError("SNAPSHOT_INVALID", { part: "outbox", reason: "an outbox without its session" });
  for (const [key, bytes] of peers) {
    const id = key.slice(ROW.peer.length) as PeerId;
    state.peers.set(id, naming(key, () => Peer.restore(id, bytes, sessionOf.get(id) ?? new Session(id))));
    sessionOf.delete(id);
  }
  for (const [id, session] of sessionOf) state.peers.set(id, new Peer(id, session));
}

/** Hands the stored health and cooldown to the components, and the detector the verdict last announced. */
function applyHard(state: EngineState, peer: Peer): void {
  const { health, backoff } = peer.hard;
  if (health !== undefined) state.governor.restoreHealth(peer.id, health);
  if (backoff !== undefined) state.backoff.restoreState(peer.id, backoff);
  const { watch } = state.tracker;
  const site = watch.capture(peer.linkSite);
  if (site !== undefined && site.state !== peer.siteVerdict) watch.restore(peer.linkSite, { ...site, state: peer.siteVerdict });
}

function restorePrograms(state: EngineState, rows: readonly Encoded[]): (hash: ProgramHash) => LinkedProgram {
  const missing = new Set<string>();
  const programs: [Program, ProgramHash][] = rows.map(([key, bytes]) => {
    return [naming(key, () => validateProgram(decodeValue(bytes))), key.slice(ROW.program.length) as ProgramHash];
  });
  for (const [program] of programs) for (const name of missingDefinitions(program, state.definitions)) missing.add(name);
  if (missing.size > 0 && !state.options.parkMissing) {
    throw new RuntimeError("DEFINITION_MISSING", { missing: [...missing].sort().join(", ") });
  }
  const linked = new Map<ProgramHash, LinkedProgram>();
  for (const [program, hash] of programs) {
    // `parkMissing`: what lacks a definition is linked all the same; its operations park when their turn comes.
    const one = naming(ROW.program + hash, () => new LinkedProgram(program, programHash(program), state.definitions));
    if (one.hash !== hash) throw new RuntimeError("SNAPSHOT_INVALID", { part: `program/${hash}`, reason: "its content has another hash" });
    linked.set(hash, state.addProgram(one, true).linked);
  }
  return (hash) => {
    const found = linked.get(hash);
    if (found === undefined) throw new RuntimeError("SNAPSHOT_INVALID", { part: `program/${hash}`, reason: "missing" });
    return found;
  };
}

const NO_SLOTS: ReadonlyMap<string, Uint8Array> = new Map();

function restoreExecutions(
  state: EngineState, programOf: (hash: ProgramHash) => LinkedProgram, rows: readonly Encoded[], slots: readonly Encoded[],
): void {
  const slotsOf = new Map<string, Map<string, Uint8Array>>();
  for (const [key, bytes] of slots) {
    const { id } = parseSlotKey(key);
    const own = slotsOf.get(id) ?? new Map<string, Uint8Array>();
    slotsOf.set(id, own.set(key, bytes));
  }
  for (const [key, bytes] of rows) {
    const id = key.slice(ROW.execution.length) as ExecutionId;
    const execution = naming(key, () => Execution.restore(id, bytes, slotsOf.get(id) ?? NO_SLOTS, programOf));
    slotsOf.delete(id);
    state.adoptExecution(execution);
  }
  for (const own of slotsOf.values()) {
    for (const key of own.keys()) throw new RuntimeError("SNAPSHOT_INVALID", { part: key, reason: "a slot without its execution" });
  }
}

function restoreFrontier(state: EngineState, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) return;
  const reader = RowReader.of(ROW.frontier, bytes);
  state.frontier.persisted = true;
  for (const entry of reader.lists()) {
    const execution = state.executions.get(entry.text() as ExecutionId);
    const operation = entry.whole();
    if (execution === undefined) entry.refuse("a ready operation of no execution");
    else if (execution.status[operation] !== STATUS.ready) entry.refuse(`operation ${operation} is not ready`);
    else state.frontier.push(execution, operation);
  }
  reader.end();
}

/**
 * Conservation: every unfinished operation is exactly one of waiting, ready, parked; ready ones are in the frontier,
 * and parked operations and live commands match one to one (a map: its children in flight).
 */
function checkConservation(state: EngineState): void {
  const refuse = (part: string, reason: string): never => {
    throw new RuntimeError("SNAPSHOT_INVALID", { part, reason });
  };
  let ready = 0;
  let commands = 0;
  for (const execution of state.executions.values()) {
    for (let operation = 0; operation < execution.status.length; operation++) {
      const status = execution.status[operation];
      if (status === STATUS.ready) ready++;
      if (status !== STATUS.parked) continue;
      const map = execution.mapAt(operation);
      const check = (id: CommandId | undefined): void => {
        const command = id === undefined ? undefined : state.commands.get(id);
        if (command?.execution !== execution.id || command.operation !== operation) {
          refuse(execution.key, `operation ${operation} waits for a command that is not there`);
        }
        commands++;
      };
      if (map === undefined) check(execution.commands.get(operation));
      else for (const id of map.inFlight.keys()) check(id);
    }
  }
  if (ready !== state.frontier.size) refuse("frontier", `${ready} operations are ready, ${state.frontier.size} are listed`);
  if (commands !== state.commands.size) refuse("commands", `${state.commands.size} commands for ${commands} parked operations`);
}
