import { Random, ROW } from "@holdfast/core";
import type { Process } from "../world/process.ts";
import type { Mutant, State } from "./mutant.ts";

type Reason = Parameters<State["timers"]["set"]>[0];
type Row = Parameters<State["journal"]["touch"]>[0];

/** Every so many operations that become ready, one is lost. */
const LOSE_EVERY = 50;

function loseReady({ engine: { state: { frontier } } }: Process): void {
  const push = frontier.push.bind(frontier);
  let count = 0;
  frontier.push = (execution, operation) => void (++count % LOSE_EVERY > 0 && push(execution, operation));
}

function leaveCommands({ engine: { state: { commands } } }: Process): void {
  const remove = commands.delete.bind(commands);
  commands.delete = (id) => commands.get(id)?.kind !== "child" && remove(id);
}

/** Timers of that reason are not set. */
function neverSet(reason: Reason): (process: Process) => void {
  return ({ engine: { state: { timers } } }) => {
    const set = timers.set.bind(timers);
    timers.set = (why, subject, due) => void (why !== reason && set(why, subject, due));
  };
}

/** Such changes do not reach the journal. */
function neverTouch(isMissed: (row: Row, state: State) => boolean): (process: Process) => void {
  return ({ engine: { state } }) => {
    const { journal } = state;
    const touch = journal.touch.bind(journal);
    journal.touch = (row) => void (!isMissed(row, state) && touch(row));
  };
}

function neverRemove(family: string): (process: Process) => void {
  return ({ engine: { state: { journal } } }) => {
    const remove = journal.remove.bind(journal);
    journal.remove = (row) => void (!row.key.startsWith(family) && remove(row));
  };
}

/** Something that no event brought in. */
function drawElsewhere({ engine, machine }: Process): void {
  engine.state.random = Random.fromSeed(`${machine.world.now}`);
}

/** What an engine has in memory, what drives it, and what of it is stored. */
export const TABLES: readonly Mutant[] = [
  { name: "ready-operation-lost", does: "now and then a ready operation is not put into the frontier", flaws: { patch: loseReady } },
  { name: "command-left-behind", does: "the command of a child that has ended stays", flaws: { patch: leaveCommands } },
  {
    name: "acceptance-not-stored", does: "a request changes its state without telling the journal",
    flaws: { patch: neverTouch((row) => row.key.startsWith(ROW.command) && row.persisted) },
  },
  {
    name: "caller-not-stored", does: "an execution that a peer asked for is acknowledged, and not stored",
    flaws: { patch: neverTouch((row, { executions }) => row.key.startsWith(ROW.execution) && [...executions.values()].some((one) => one === row && one.origin.kind === "peer")) },
  },
  { name: "rows-left-behind", does: "the row of an execution that has ended stays stored", flaws: { patch: neverRemove(ROW.execution) } },
  { name: "never-redialled", does: "a dial that failed is not tried again", flaws: { patch: neverSet("dial") } },
  { name: "silence-trusted", does: "a link that takes nothing is never given up", flaws: { patch: neverSet("unacknowledged") } },
  { name: "attempt-never-doubted", does: "the budget of an attempt never runs out", flaws: { patch: neverSet("attempt-budget") } },
  { name: "deadline-not-watched", does: "an execution does not end at its deadline", flaws: { patch: neverSet("execution-deadline") } },
  { name: "hidden-input", does: "random numbers come from elsewhere than the seed", flaws: { patch: drawElsewhere, replayed: true } },
];
