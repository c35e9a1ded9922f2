import { type Commit, decodeValue, type Encoded, type Engine, encodeValue, foldDifferences, ROW, type Value } from "@holdfast/core";
import { require, Violation } from "../violation.ts";
import { sameBytes } from "./same-bytes.ts";

type State = Engine["state"];
type Execution = Parameters<Parameters<State["executions"]["forEach"]>[0]>[0];
type Command = Parameters<Parameters<State["commands"]["forEach"]>[0]>[0];
type Peer = Parameters<Parameters<State["peers"]["forEach"]>[0]>[0];
type Scratch = State["journal"];

/** So many live rows are encoded anew with each commit, in turn. */
const SLICE = 3;
/** A pass through all rows cannot take more steps than this. */
const STEPS_MAX = 1_000_000;
/** Takes what a row says while it is encoded for us: its real journal must not hear of it. */
const SCRATCH = { touch: () => {}, remove: () => {} } as unknown as Scratch;
/** Families of which every row of the live state is stored, and nothing else is. */
const COUNTED = [ROW.program, ROW.execution, ROW.slot, ROW.command, ROW.outbox, ROW.result] as const;

interface Seen {
  readonly print: number;
  /** The row as it was stored when the print was taken. */
  readonly bytes: Uint8Array;
}

/**
 * Folds what one process hands out to be stored, commit by commit, and holds it against the state that the process has.
 * The journal, by which the process knows what to store, is not asked.
 *
 *   F1. With every commit: the stored rows of each family are as many as the live ones; and whatever shows that a session,
 *       a peer, an execution or a command has changed (its numbers, states, attempts, streak, cooldown) shows since its
 *       row was last stored.
 *   F2. With every commit some live rows, in turn, are encoded anew and must be the stored ones, byte for byte; so each
 *       row is looked at within (rows / SLICE) commits, and all are where the process dies. Cells are compared by value.
 *   F3. Now and then the stored rows are restored, and what a capture shows of that must be what it shows of the live state.
 *
 * F1 sees at once that a row was forgotten, but only by the fields that it looks at. F2 sees every field that is stored, a
 * little later. What neither sees is wrong in the same way in memory and in the row; and what no row holds, F3 sees only as
 * far as a restored state shows it. Programs never change: they are counted. Soft state is not looked at.
 */
export class FoldWatch {
  readonly #name: string;
  readonly #engine: Engine;
  readonly #rows: Map<string, Uint8Array>;
  readonly #counts = new Map<string, number>(COUNTED.map((family) => [family, 0]));
  readonly #seen = new Map<string, Seen>();
  /** Cells by `cells/TABLE`, and by key. */
  readonly #cells = new Map<string, Map<string, Value>>();
  readonly #live: Iterator<"row" | "all">;

  constructor(name: string, engine: Engine, stored: readonly Encoded[]) {
    this.#name = name;
    this.#engine = engine;
    this.#rows = new Map();
    for (const [key, bytes] of inOrder(stored)) this.#put(key, bytes);
    this.#live = this.#inTurn(engine.state);
  }

  /** The process hands out a commit: from now until its next turn, everything is stored or on its way. */
  taken(commit: Pick<Commit, "puts" | "deletes">): void {
    for (const key of commit.deletes) this.#delete(key);
    for (const [key, bytes] of commit.puts) this.#put(key, bytes);
    this.#compareCounts();
    this.#comparePrints();
    for (let n = 0; n < SLICE; n++) this.#live.next();
  }

  /** F2 for all rows, in the same moment. */
  compareRows(): void {
    const rows = this.#inTurn(this.#engine.state);
    for (let step = 0; step < STEPS_MAX && rows.next().value !== "all"; step++);
  }

  /** F3, in the same moment. */
  compareRestored(): void {
    let differences: string[];
    try {
      differences = foldDifferences(this.#engine.state, [...this.#rows]);
    } catch (cause) {
      throw new Violation("fold", `${this.#name}: what it stored does not fold: ${(cause as Error).message}`, { cause });
    }
    require(differences.length === 0, "fold", () => `${this.#name} stores other rows than it has: ${differences.join(", ")}`);
  }

  #put(key: string, bytes: Uint8Array): void {
    if (!this.#rows.has(key)) this.#count(key, 1);
    this.#rows.set(key, bytes);
    if (!key.startsWith(ROW.cells)) return;
    const table = key.slice(0, key.indexOf("/", ROW.cells.length));
    let cells = this.#cells.get(table);
    if (cells === undefined) this.#cells.set(table, (cells = new Map()));
    const pairs = decodeValue(bytes) as readonly Value[];
    for (let at = 0; at < pairs.length; at += 2) cells.set(pairs[at] as string, pairs[at + 1] as Value);
  }

  #delete(key: string): void {
    if (this.#rows.delete(key)) this.#count(key, -1);
    this.#seen.delete(key);
  }

  #count(key: string, by: number): void {
    const slash = key.indexOf("/");
    const family = slash < 0 ? key : key.slice(0, slash + 1);
    const count = this.#counts.get(family);
    if (count !== undefined) this.#counts.set(family, count + by);
  }

  // ── F1 ──

  #compareCounts(): void {
    const { executions, commands, finished, peers } = this.#engine.state;
    let programs = 0;
    for (const _ of this.#engine.state.programRows()) programs++;
    let slots = 0;
    for (const execution of executions.values()) for (const _ of execution.extraRows()) slots++;
    let outbox = 0;
    for (const { session } of peers.values()) outbox += session.outbox.length;
    this.#compareCount(ROW.program, programs);
    this.#compareCount(ROW.execution, executions.size);
    this.#compareCount(ROW.slot, slots);
    this.#compareCount(ROW.command, commands.size);
    this.#compareCount(ROW.outbox, outbox);
    this.#compareCount(ROW.result, finished.size);
  }

  #compareCount(family: (typeof COUNTED)[number], live: number): void {
    const stored = this.#counts.get(family) as number;
    require(stored === live, "fold", () => `${this.#name} stores ${stored} rows ${family}, and has ${live}`);
  }

  #comparePrints(): void {
    const { state } = this.#engine;
    for (const execution of state.executions.values()) this.#compare(execution.key, printExecution(execution));
    for (const command of state.commands.values()) this.#compare(command.key, printCommand(command));
    for (const peer of state.peers.values()) {
      const { session } = peer;
      const hasHistory = session.epoch > 1 || session.nextSequence > 1 || session.peerEpoch > 0;
      if (hasHistory || this.#rows.has(session.key)) this.#compare(session.key, printSession(session));
      const print = printPeer(state, peer);
      if (print !== UNBLEMISHED || this.#rows.has(peer.key)) this.#compare(peer.key, print);
    }
  }

  #compare(key: string, print: number): void {
    const bytes = this.#rows.get(key);
    if (bytes === undefined) throw new Violation("fold", `${this.#name} does not store ${key}`);
    const seen = this.#seen.get(key);
    if (seen?.bytes === bytes) {
      if (seen.print !== print) throw new Violation("fold", `${this.#name} has changed ${key} and does not store it`);
    } else this.#seen.set(key, { print, bytes });
  }

  // ── F2 ──

  /** Steps from row to row for ever, through tables that change meanwhile. */
  *#inTurn(state: State): Generator<"row" | "all", never> {
    for (;;) {
      for (const row of [state.frontier, state.bus, state.policy]) {
        if (this.#rows.has(row.key)) this.#compareBytes(row.key, row.encode());
        yield "row";
      }
      for (const execution of state.executions.values()) {
        this.#compareBytes(execution.key, execution.encode(SCRATCH));
        yield "row";
        for (const row of execution.extraRows()) {
          if (execution.ended) break;
          this.#compareBytes(row.key, row.encode(SCRATCH));
          yield "row";
        }
      }
      for (const command of state.commands.values()) {
        this.#compareBytes(command.key, command.encode());
        yield "row";
      }
      for (const finished of state.finished.values()) {
        this.#compareBytes(finished.key, finished.encode());
        yield "row";
      }
      for (const { session } of state.peers.values()) {
        for (let at = 0; at < session.outbox.length; at++) {
          const entry = session.outbox[at] as (typeof session.outbox)[number];
          this.#compareBytes(entry.key, entry.encode());
          yield "row";
        }
      }
      for (const name of state.cells.names) {
        const table = state.cells.table(name);
        this.#compareTable(name, table.size);
        yield "row";
        for (const [key] of table.entries()) {
          this.#compareCell(name, key, table.get(key));
          yield "row";
        }
      }
      yield "all";
    }
  }

  #compareBytes(key: string, live: Uint8Array): void {
    const bytes = this.#rows.get(key);
    require(bytes !== undefined && sameBytes(bytes, live), "fold", () => `${this.#name} stores another ${key} than it has`);
  }

  #compareTable(name: string, size: number): void {
    const stored = this.#cells.get(ROW.cells + encodeURIComponent(name))?.size ?? 0;
    require(stored === size, "fold", () => `${this.#name} stores ${stored} cells ${name}, and has ${size}`);
  }

  #compareCell(name: string, key: string, live: Value | undefined): void {
    const stored = this.#cells.get(ROW.cells + encodeURIComponent(name))?.get(key);
    const same = stored === live || (stored !== undefined && live !== undefined && sameBytes(encodeValue(stored), encodeValue(live)));
    require(same, "fold", () => `${this.#name} stores ${JSON.stringify(stored)} in the cell ${key}, and has ${JSON.stringify(live)}`);
  }
}

/** Of the segments of one partition the later ones win. */
function inOrder(rows: readonly Encoded[]): readonly Encoded[] {
  const segment = (key: string): number => (key.startsWith(ROW.cells) ? Number(key.slice(key.lastIndexOf("/") + 1)) : 0);
  return [...rows].sort(([a], [b]) => segment(a) - segment(b));
}

// Prints are sums that any one change of what they are about makes another.

function mix(print: number, value: number): number {
  return Math.imul(print ^ (value | 0) ^ (value / 0x1_0000_0000), 0x01000193);
}

function printExecution(execution: Execution): number {
  let print = mix(execution.unfinished, execution.commands.size);
  for (const status of execution.status) print = mix(print, status);
  for (let slot = 0; slot < execution.program.program.slots; slot++) print = mix(print, execution.isWritten(slot) ? 1 : 0);
  for (const { next, settled, failed, folded, inFlight } of execution.maps.values()) {
    print = mix(mix(mix(mix(mix(print, next), settled), failed), folded), inFlight.size);
  }
  return mix(print, execution.events.size);
}

const ATTEMPT_STATES = { queued: 1, sent: 2, accepted: 3 } as const;

function printCommand(command: Command): number {
  let print = mix(mix(command.attempt, command.attempts.length), command.failedPeers.size);
  for (const { number, state } of command.attempts) print = mix(mix(print, number), ATTEMPT_STATES[state]);
  return print;
}

function printSession({ epoch, nextSequence, acknowledged, peerLineage, peerEpoch, mark }: Peer["session"]): number {
  return mix(mix(mix(mix(mix(epoch, nextSequence), acknowledged), peerLineage.charCodeAt(0)), peerEpoch), mark);
}

/** The print of a peer of which there is nothing to say. */
const UNBLEMISHED = 0;
const VERDICTS = { live: 0, suspect: 1, down: 2 } as const;

function printPeer(state: State, peer: Peer): number {
  const health = state.governor.peerHealth(peer.id);
  const backoff = state.backoff.state(peer.id);
  let print = mix(mix(0, peer.addresses.length), VERDICTS[peer.siteVerdict]);
  print = mix(mix(print, health?.consecutiveFailures ?? 0), health?.down === true ? 1 : 0);
  if (backoff === undefined) return print;
  return mix(mix(mix(mix(print, backoff.attempts), backoff.lastAttempt), backoff.nextRetry), backoff.advisedUntil + backoff.advisedSince);
}
