import { Violation } from "../violation.ts";
import type { Process } from "../world/process.ts";

type State = Process["engine"]["state"];
type Command = Parameters<Parameters<State["commands"]["forEach"]>[0]>[0];
type Peer = Parameters<Parameters<State["peers"]["forEach"]>[0]>[0];

/**
 * Everything that is pending has something that drives it. To be asked when a process has nothing to do and nothing on its
 * way to the disk: what happens next is a timer, host work, a peer or a person, and somebody must have been asked for it.
 *
 *   V1. The process wakes up for the first of its timers.
 *   V2. Every command has a driver of its kind; whatever has a due time has a timer for it.
 *   V3. What a peer has not acknowledged, or has yet to be sent, has a link with a limit of its own, or the next dial.
 *
 *   V4. Nothing is overdue: the last turn has ended what was due before it.
 *
 * Waiting operations are driven by those that they wait for (see conservation, C2).
 */
export function checkDrivers(process: Process): void {
  const { state } = process.engine;
  const refuse = (message: string): never => {
    throw new Violation("driver", `${process.name} is idle, and ${message}`);
  };
  const next = state.timers.next();
  if (next !== undefined && process.wakesAt > next.due) refuse(`sleeps until ${process.wakesAt}, past the timer ${next.reason} at ${next.due}`); // V1
  for (const execution of state.executions.values()) {
    if (execution.deadlineAt !== "never" && execution.deadlineAt < state.now) refuse(`${execution.id} was to end by ${execution.deadlineAt}, now ${state.now}`); // V4
    if (execution.deadlineAt !== "never" && state.timers.find("execution-deadline", execution) === undefined) refuse(`nothing watches the deadline of ${execution.id}`); // V2
    for (const [operation, { inFlight, next: item }] of execution.maps) {
      if (inFlight.size === 0 && !state.executionsFull && !state.commandsFull) refuse(`map ${operation} of ${execution.id} has no child at item ${item}`); // V2
    }
  }
  for (const command of state.commands.values()) {
    if (command.due !== "never" && command.due < state.now) refuse(`${describe(command)} was due at ${command.due}, now ${state.now}`); // V4
    if (command.due !== "never" && state.timers.find("command-due", command) === undefined) refuse(`nothing watches the due time of ${describe(command)}`); // V2
    const lack = lackOf(process, state, command);
    if (lack !== undefined) refuse(`${describe(command)} ${lack}`); // V2
  }
  for (const peer of state.peers.values()) {
    const pending = peer.session.outbox.length > 0 || peer.queue.length > 0;
    if (pending && !isDriven(state, peer)) refuse(`nothing brings ${peer.session.outbox.length} envelopes and ${peer.queue.length} requests to ${peer.name}`); // V3
  }
}

function describe({ kind, id, execution }: Command): string {
  return `${kind} ${id} of ${execution}`;
}

/** What the command would need and does not have. */
function lackOf(process: Process, state: State, command: Command): string | undefined {
  switch (command.kind) {
    case "timer": return command.due === "never" ? "never fires" : undefined;
    case "host": return process.works(command.id) ? undefined : "is not worked on";
    case "gate": return state.parkedGates.has(command) ? undefined : "is not looked at again";
    case "child": case "event": case "output": return undefined; // the child's own commands; somebody outside; the host
    case "request": {
      if (command.attempts.length === 0) return "asks nobody";
      if (state.timers.find("attempt-budget", command) === undefined) return "is not looked at again";
      for (const attempt of command.attempts) {
        const peer = state.peers.get(attempt.peer);
        if (peer === undefined) return "asks somebody unknown";
        if (attempt.state === "queued" && !peer.queue.includes(command)) return `is queued for ${peer.name}, and not in its queue`;
        const isThere = (): boolean => peer.session.outbox.some((entry) => entry.type === "request" && entry.request === command.id && entry.attempt === attempt.number);
        if (attempt.state === "sent" && !isThere()) return `was sent to ${peer.name}, and is not in its outbox`;
      }
      return undefined;
    }
  }
}

function isDriven(state: State, peer: Peer): boolean {
  if (state.draining) return true; // the next start does
  if (peer.link !== null) return state.timers.find("unacknowledged", peer) !== undefined;
  return peer.dialing || state.timers.find("dial", peer) !== undefined;
}
