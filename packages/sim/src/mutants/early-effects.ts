import type { Effect } from "@holdfast/core";
import { messageOf, type Mutant } from "./mutant.ts";

function isBody(effect: Effect, type: "request" | "reply"): boolean {
  const message = messageOf(effect);
  return message?.kind === "envelope" && message.body.type === type;
}

/** Something leaves before the state that it depends on is durable. */
export const EARLY_EFFECTS: readonly Mutant[] = [
  { name: "send-before-commit", does: "a request leaves before the turn that made it is durable", flaws: { leaks: (effect) => isBody(effect, "request") } },
  { name: "reply-before-commit", does: "a reply leaves before what it reports is durable", flaws: { leaks: (effect) => isBody(effect, "reply") } },
  { name: "acknowledge-before-commit", does: "an acknowledgement leaves before the mark is durable", flaws: { leaks: (effect) => messageOf(effect)?.kind === "acknowledge" } },
  {
    name: "reacknowledge-past-gate", does: "a turn that changed nothing acknowledges at once, while a commit is in flight",
    flaws: { leaks: (effect, turn) => !turn.changed && messageOf(effect)?.kind === "acknowledge" },
  },
  { name: "work-before-commit", does: "host work starts before its command is durable", flaws: { leaks: ({ kind }) => kind === "start-host" } },
  { name: "answer-before-commit", does: "the application is answered before its request is durable", flaws: { leaks: ({ kind }) => kind === "answer" } },
  { name: "result-before-commit", does: "the application gets a result before it is durable", flaws: { leaks: ({ kind }) => kind === "execution-finished" } },
];
