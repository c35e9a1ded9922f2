import { NS_PER_S } from "@holdfast/core";
import { planFromSeed } from "../plan/plan.ts";
import { restoreOldBackup } from "../run/old-backup.ts";
import type { Process } from "../world/process.ts";
import { type Flaws, World } from "../world/world.ts";
import { messageOf, type Mutant, patchSessions, type Session, type State } from "./mutant.ts";

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

function ignoreWindow(session: Session): void {
  Object.defineProperty(session, "admitsRequest", { get: () => true });
}

function forgetCancels(session: Session): void {
  const enqueue = session.enqueue.bind(session);
  session.enqueue = (body, deadlineAt, journal) => {
    const deaf = { touch: (row: unknown) => row === session && journal.touch(session) } as unknown as State["journal"];
    return enqueue(body, deadlineAt, body.type === "cancel" ? deaf : journal);
  };
}

function believeOlderProcess(session: Session): void {
  const handleHello = session.handleHello.bind(session);
  session.handleHello = (hello, ourLineage, journal) => {
    session.peerIncarnation = Math.min(session.peerIncarnation, hello.incarnation);
    return handleHello(hello, ourLineage, journal);
  };
}

/** Processes are overtaken while they sleep, and nothing else distracts. */
function runTakeovers(seed: number, flaws: Flaws): void {
  new World(planFromSeed(seed, ["takeover", "pause", "partition"]), { flaws }).run();
}

/** The order of a stream, or the memory of it, is lost. */
export const SESSIONS: readonly Mutant[] = [
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
  { name: "window-ignored", does: "requests go out however many are outstanding", flaws: { patch: patchSessions(ignoreWindow) } },
  { name: "cancel-not-durable", does: "a cancel is sent, and not stored", flaws: { patch: patchSessions(forgetCancels) } },
  {
    name: "older-process-believed", does: "whoever was overtaken goes on speaking for its node", flaws: { patch: patchSessions(believeOlderProcess) },
    course: runTakeovers,
  },
  {
    name: "fork-unnoticed", does: "a machine with an old backup is believed: two histories of one lineage",
    flaws: { patch: patchSessions(believeEveryMemory) }, course: (seed, flaws) => void restoreOldBackup(seed, flaws),
  },
];
