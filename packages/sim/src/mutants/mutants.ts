import { decodeMessage, type Effect, type Engine, type Message, NS_PER_S } from "@holdfast/core";
import { type RunResult, runSeed } from "../run/run-seed.ts";
import type { Process } from "../world/process.ts";
import type { Flaws } from "../world/world.ts";

/** A runtime with one promise broken on purpose. The checkers must notice, or they prove nothing. */
export interface Mutant {
  readonly name: string;
  /** What it does that the runtime never does. */
  readonly does: string;
  readonly flaws: Flaws;
}

type Session = Parameters<Parameters<Engine["state"]["peers"]["forEach"]>[0]>[0]["session"];

function messageOf(effect: Effect): Message | undefined {
  return effect.kind === "send-frame" ? decodeMessage(effect.frame.subarray(4)) : undefined;
}

function isBody(effect: Effect, type: "request" | "reply"): boolean {
  const message = messageOf(effect);
  return message?.kind === "envelope" && message.body.type === type;
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

/** How long the mutant `dedup-by-time` remembers: as short beside the trouble here as minutes are beside an outage. */
const DEDUP_NS = NS_PER_S / 2;

function deduplicateByTime(session: Session, process: Process): void {
  const acceptedAt = new Map<number, number>();
  const restoredAt = process.now;
  const advance = session.advance.bind(session);
  session.place = (sequence) => {
    if (sequence > session.mark) return sequence === session.mark + 1 ? "next" : "gap";
    return process.now - (acceptedAt.get(sequence) ?? restoredAt) > DEDUP_NS ? "next" : "duplicate";
  };
  session.advance = (sequence, journal) => {
    acceptedAt.set(sequence, process.now);
    if (sequence > session.mark) advance(sequence, journal);
  };
}

function acceptGaps(session: Session): void {
  const advance = session.advance.bind(session);
  session.place = (sequence) => (sequence > session.mark ? "next" : "duplicate");
  session.advance = (sequence, journal) => {
    session.mark = sequence - 1;
    advance(sequence, journal);
  };
}

/** Takes a peer's memory for the truth, whatever ours says. */
export function believeEveryMemory(session: Session): void {
  const handleHello = session.handleHello.bind(session);
  session.handleHello = (hello, ourLineage, journal) => {
    const verdict = handleHello(hello, ourLineage, journal);
    return verdict.kind === "history-lost" ? { kind: "agreed", acknowledged: [] } : verdict;
  };
}

function dropAtSend({ engine }: Process): void {
  const poll = engine.poll.bind(engine);
  engine.poll = (now, wallMs) => {
    const turn = poll(now, wallMs);
    for (const { link, session } of engine.state.peers.values()) {
      if (link?.sendReady === true) session.acknowledge(session.nextSequence - 1, engine.state.journal);
    }
    return turn;
  };
}

function forgetIds({ engine }: Process): void {
  engine.state.nextCommand = Math.max(0, ...engine.state.commands.keys()) + 1;
  engine.state.nextExecution = 1;
}

function takeLateAnswers({ engine }: Process): void {
  const { commands } = engine.state;
  const get = commands.get.bind(commands);
  commands.get = (id) => get(id) ?? [...commands.values()].find(({ kind }) => kind === "host");
}

export const MUTANTS: readonly Mutant[] = [
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
  { name: "durable-when-written", does: "the store reports a commit before the fsync", flaws: { disk: { lies: true } } },
  { name: "fsync-retried", does: "an fsync that failed is tried again, and believed", flaws: { disk: { retriesFsync: true } } },
  { name: "stale-fence", does: "the store takes the writes of an owner that was overtaken", flaws: { disk: { ignoresFence: true } } },
  { name: "torn-record", does: "a load applies the part of a record that a power cut left", flaws: { disk: { keepsTorn: true } } },
  { name: "stale-load", does: "a load misses the last commit", flaws: { disk: { loadsLate: true } } },
  { name: "cells-beside-record", does: "cells become durable before, and without, the rest of their record", flaws: { disk: { splitsCells: true } } },
  { name: "deletes-forgotten", does: "the store does not delete", flaws: { disk: { keepsDeleted: true } } },
  { name: "outbox-dropped-at-send", does: "an envelope is forgotten when it is sent, not when it is acknowledged", flaws: { patch: dropAtSend } },
  {
    name: "never-resent", does: "what was unacknowledged does not go out again on a new link",
    flaws: {
      alter: (effect) => {
        const message = messageOf(effect);
        return message?.kind === "envelope" && message.header.redelivered ? undefined : effect;
      },
    },
  },
  { name: "dedup-by-time", does: "a sequence is recognised for half a second", flaws: { patch: patchSessions(deduplicateByTime) } },
  { name: "gap-accepted", does: "a sequence beyond mark + 1 is taken", flaws: { patch: patchSessions(acceptGaps) } },
  {
    name: "mark-not-restored", does: "a restart forgets what was accepted",
    flaws: { patch: ({ engine }) => engine.state.peers.forEach(({ session }) => { session.mark = 0; }) },
  },
  { name: "ids-not-restored", does: "a restart gives the numbers of ended commands again", flaws: { patch: forgetIds } },
  {
    name: "key-per-start", does: "the idempotency key changes with each start",
    flaws: { alter: (effect, { incarnation }) => (effect.kind === "start-host" ? { ...effect, key: `${effect.key}/${incarnation}` } : effect) },
  },
  {
    name: "key-per-peer", does: "each peer that attempts a piece of work makes a key of its own",
    flaws: { alter: (effect, { machine }) => (effect.kind === "start-host" ? { ...effect, key: `${effect.key}@${machine.name}` } : effect) },
  },
  {
    name: "work-not-resumed", does: "a restart does not start again the work that was under way",
    flaws: { alter: (effect, { incarnation, turns }) => (effect.kind === "start-host" && incarnation > 1 && turns === 1 ? undefined : effect) },
  },
  { name: "late-answer-taken", does: "an answer to work that has ended completes whatever waits", flaws: { patch: takeLateAnswers } },
];

/** A mutant must be noticed within so many seeds. */
export const MUTANT_SEEDS = 100;

export interface CatchOptions {
  readonly seeds?: number;
  /** Without the checker that sees what leaves too early: by the effects alone. */
  readonly gateUnwatched?: boolean;
}

/** Runs a mutant until it is caught: the run that caught it, or undefined. */
export function catchMutant(mutant: Mutant, { seeds = MUTANT_SEEDS, gateUnwatched = false }: CatchOptions = {}): { seed: number; run: RunResult } | undefined {
  const flaws = { ...mutant.flaws, gateUnwatched };
  for (let seed = 1; seed <= seeds; seed++) {
    const run = runSeed(seed, flaws);
    if (run.violation !== undefined) return { seed, run };
  }
  return undefined;
}
