import { decodeValue, type Engine, type ExecutionId, STATUS_NAMES } from "@holdfast/core";
import { Violation } from "../violation.ts";

type State = Engine["state"];
type Execution = Parameters<Parameters<State["executions"]["forEach"]>[0]>[0];

const WAITING = STATUS_NAMES.indexOf("waiting");
const READY = STATUS_NAMES.indexOf("ready");
const PARKED = STATUS_NAMES.indexOf("parked");

/**
 * Nothing is lost between the tables of an engine, and nothing is left behind. To be asked between two turns.
 *
 *   C1. An execution counts as unfinished exactly its operations that are waiting, ready or parked, and has at least one.
 *   C2. A waiting operation waits for an input that is not there and whose producer is itself unfinished.
 *   C3. A ready operation is in the frontier once, and nothing else is.
 *   C4. A parked operation has its one command (a map: one for each child in flight), and every command is somebody's.
 *   C5. A child's command and its execution name each other.
 *   C6. What is in flight to peers is what live requests attempt.
 */
export function checkConservation(name: string, state: State): void {
  const refuse = (message: string): never => {
    throw new Violation("conservation", `${name}: ${message}`);
  };
  let ready = 0;
  let commands = 0;
  for (const execution of state.executions.values()) {
    const { status } = execution;
    let unfinished = 0;
    let held = 0;
    for (let operation = 0; operation < status.length; operation++) {
      const at = status[operation] as number;
      if (at > PARKED) continue;
      unfinished++;
      if (at === READY) ready++;
      else if (at === WAITING) checkWaiting(execution, operation, refuse);
      else held += checkParked(state, execution, operation, refuse);
    }
    if (unfinished !== execution.unfinished || unfinished === 0) refuse(`${execution.id} counts ${execution.unfinished} unfinished operations of ${unfinished}`); // C1
    let listed = execution.commands.size;
    for (const { inFlight } of execution.maps.values()) listed += inFlight.size;
    if (listed !== held) refuse(`${execution.id} lists ${listed} commands for the ${held} that its parked operations have`); // C4
    const { origin } = execution;
    if (origin.kind === "parent" && state.commands.get(origin.command)?.kind !== "child") refuse(`the child ${execution.id} has no command`); // C5
    commands += held;
  }
  if (commands !== state.commands.size) refuse(`${state.commands.size} commands for ${commands} parked operations`); // C4
  const attempts = countAttempts(state);
  let inFlight = 0;
  for (const peer of state.peers.values()) inFlight += peer.inFlight;
  if (attempts !== inFlight) refuse(`${attempts} attempts of live requests, and ${inFlight} in flight`); // C6
  if (ready > 0 || state.frontier.size > 0) checkFrontier(state, ready, refuse);
}

function countAttempts({ commands }: State): number {
  let attempts = 0;
  for (const command of commands.values()) attempts += command.attempts.length;
  return attempts;
}

function checkWaiting(execution: Execution, operation: number, refuse: (message: string) => never): void {
  const { id, program, status } = execution;
  const { name, inputs } = program.operations[operation] as (typeof program.operations)[number];
  const waits = inputs.some((slot) => {
    const producer = program.producers[slot];
    return !execution.isWritten(slot) && producer !== undefined && producer >= 0 && (status[producer] as number) <= PARKED;
  });
  if (!waits) refuse(`${id} waits with ${name} for nothing that can come`); // C2
}

/** How many commands the operation holds. */
function checkParked(state: State, execution: Execution, operation: number, refuse: (message: string) => never): number {
  const map = execution.maps.get(operation);
  const own = execution.commands.get(operation);
  if ((map === undefined) === (own === undefined)) refuse(`${execution.id} has parked operation ${operation} without its command, or with two`); // C4
  const held = map === undefined ? [own as Exclude<typeof own, undefined>] : map.inFlight.keys();
  let count = 0;
  for (const id of held) {
    count++;
    const command = state.commands.get(id);
    if (command === undefined || command.execution !== execution.id || command.operation !== operation || command.ended) {
      return refuse(`${execution.id} waits with operation ${operation} for command ${id}, which is not there`); // C4
    }
    if (map === undefined) continue;
    const child = state.executions.get((command.subject as readonly [typeof execution.id, number])[0]);
    if (child?.origin.kind !== "parent" || child.origin.command !== id) return refuse(`${execution.id} waits for a child that is not there`); // C5
  }
  return count;
}

function checkFrontier({ frontier, executions }: State, ready: number, refuse: (message: string) => never): void {
  const [listed] = decodeValue(frontier.encode()) as unknown as [[ExecutionId, number][]];
  const once = new Set(listed.map(([id, operation]) => `${id}/${operation}`));
  if (once.size !== listed.length || listed.length !== ready) refuse(`${ready} operations are ready, ${listed.length} are listed`); // C3
  for (const [id, operation] of listed) {
    if (executions.get(id)?.status[operation] !== READY) refuse(`operation ${operation} of ${id} is listed and not ready`); // C3
  }
}
