import type { CommandId } from "@holdfast/core";
import type { Process } from "../world/process.ts";
import type { Command, Mutant } from "./mutant.ts";

function takeLateAnswers({ engine }: Process): void {
  const { commands } = engine.state;
  const get = commands.get.bind(commands);
  commands.get = (id) => get(id) ?? [...commands.values()].find(({ kind }) => kind === "host");
}

/** Remembers requests that have ended, with the attempts that they had. */
function takeLateReplies({ engine }: Process): void {
  const { commands } = engine.state;
  const [get, remove] = [commands.get.bind(commands), commands.delete.bind(commands)];
  const ghosts = new Map<CommandId, Command>();
  commands.get = (id) => {
    const command = get(id);
    if (command?.kind === "request") ghosts.set(id, Object.create(command, { attempts: { value: [...command.attempts] } }) as Command);
    return command ?? ghosts.get(id);
  };
  commands.delete = (id) => remove(id);
}

/** Work outside, and what comes of it. */
export const WORKS: readonly Mutant[] = [
  {
    name: "key-per-start", does: "the idempotency key changes with each start",
    flaws: { alter: (effect, { incarnation }) => (effect.kind === "start-host" ? { ...effect, key: `${effect.key}/${incarnation}` } : effect) },
  },
  {
    name: "key-per-peer", does: "each peer that attempts a piece of work makes a key of its own",
    flaws: { alter: (effect, { machine }) => (effect.kind === "start-host" ? { ...effect, key: `${effect.key}@${machine.name}` } : effect) },
  },
  { name: "late-answer-taken", does: "an answer to work that has ended completes whatever waits", flaws: { patch: takeLateAnswers } },
  { name: "late-reply-taken", does: "a second reply completes a request that has ended", flaws: { patch: takeLateReplies } },
];
