import { decodeMessage, type Effect, type Engine, type Message } from "@holdfast/core";
import type { Process } from "../world/process.ts";
import type { Flaws } from "../world/world.ts";

/** A runtime with one promise broken on purpose. The checkers must notice, or they prove nothing. */
export interface Mutant {
  readonly name: string;
  /** What it does that the runtime never does. */
  readonly does: string;
  readonly flaws: Flaws;
  /** Another course of events than a seed's: it throws the violation. */
  readonly course?: (seed: number, flaws: Flaws) => void;
}

export type State = Engine["state"];
export type Command = Parameters<Parameters<State["commands"]["forEach"]>[0]>[0];
export type Session = Parameters<Parameters<State["peers"]["forEach"]>[0]>[0]["session"];

export function messageOf(effect: Effect): Message | undefined {
  return effect.kind === "send-frame" ? decodeMessage(effect.frame.subarray(4)) : undefined;
}

/** Changes every session of a process before it is first used. */
export function patchSessions(patch: (session: Session, process: Process) => void): (process: Process) => void {
  return (process) => {
    const { engine } = process;
    const done = new WeakSet<Session>();
    const poll = engine.poll.bind(engine);
    engine.poll = (now, wallMs) => {
      for (const { session } of engine.state.peers.values()) {
        if (done.has(session)) continue;
        done.add(session);
        patch(session, process);
      }
      return poll(now, wallMs);
    };
  };
}

/** Only where a process goes on from what it stored. */
export function atRestart(patch: (process: Process) => void): (process: Process) => void {
  return (process) => process.incarnation > 1 && patch(process);
}
