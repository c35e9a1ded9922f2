import { NS_PER_S, ROW } from "@holdfast/core";
import type { Process } from "../world/process.ts";
import { atRestart, type Mutant } from "./mutant.ts";
import { runOverdue } from "./overdue-course.ts";

/** How far the clock of `clock-goes-back` goes back. */
const BACK_NS = 10 * NS_PER_S;

function forgetIds({ engine }: Process): void {
  engine.state.nextCommand = Math.max(0, ...engine.state.commands.keys()) + 1;
  engine.state.nextExecution = 1;
}

function setClockBack(process: Process): void {
  const { engine } = process;
  const poll = engine.poll.bind(engine);
  engine.state.now = Math.max(1, engine.state.now - BACK_NS);
  engine.poll = (now, wallMs) => poll(Math.max(1, now - BACK_NS), wallMs);
}

function loseTimers({ engine: { state } }: Process): void {
  for (const execution of state.executions.values()) state.timers.clearAll(execution);
  for (const command of state.commands.values()) state.timers.clearAll(command);
}

/** What is due at 0, or before now, reads like what is never due. */
function neverOverdue({ engine: { state } }: Process): void {
  for (const execution of state.executions.values()) {
    if (execution.deadlineAt !== "never" && execution.deadlineAt <= state.now) state.timers.clear("execution-deadline", execution);
  }
  for (const command of state.commands.values()) {
    if (command.due !== "never" && command.due <= state.now) state.timers.clear("command-due", command);
  }
}

/** Rows of that family are stored only with the soft state, some seconds apart. */
function storeSoftly(family: string): (process: Process) => void {
  return ({ engine }) => {
    const take = engine.takeRecord.bind(engine);
    engine.takeRecord = () => {
      const { puts, deletes } = take();
      const isRide = puts.some(([key]) => key === ROW.priors);
      return { puts: isRide ? puts : puts.filter(([key]) => !key.startsWith(family)), deletes };
    };
  };
}

/** A process does not go on from where its last one was. */
export const RESTARTS: readonly Mutant[] = [
  { name: "ids-not-restored", does: "a restart gives the numbers of ended commands again", flaws: { patch: forgetIds } },
  {
    name: "work-not-resumed", does: "a restart does not start again the work that was under way",
    flaws: { alter: (effect, { incarnation, turns }) => (effect.kind === "start-host" && incarnation > 1 && turns === 1 ? undefined : effect) },
  },
  { name: "clock-goes-back", does: "engine time goes back over a restart", flaws: { patch: atRestart(setClockBack) } },
  { name: "timer-lost-at-restart", does: "a restart does not set the timers of what was under way", flaws: { patch: atRestart(loseTimers) } },
  {
    name: "deadline-0-as-never", does: "no time left, at a restart, reads like no deadline",
    flaws: { patch: atRestart(neverOverdue) }, course: runOverdue,
  },
  { name: "streaks-stored-softly", does: "hard state taken for soft: peers' failures and cooldowns are stored with it", flaws: { patch: storeSoftly(ROW.peer) } },
  { name: "marks-stored-softly", does: "hard state taken for soft: sessions are stored with it", flaws: { patch: storeSoftly(ROW.session) } },
];
