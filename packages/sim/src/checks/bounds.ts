import type { Engine } from "@holdfast/core";
import { Violation } from "../violation.ts";

type State = Engine["state"];
type Session = Parameters<Parameters<State["peers"]["forEach"]>[0]>[0]["session"];

// As docs/LIMITS.md promises them: core's own constants are not asked.
const EXECUTIONS_MAX = 10_000;
const COMMANDS_MAX = 10_000;
const PEERS_MAX = 16_384;
const ADDRESSES_MAX = 8;
const BUS_EVENTS_MAX = 1024;
const EARLY_EVENTS_MAX = 64;
const OUTBOX_BYTES_MAX = 64 * 1024 * 1024;
/** What one envelope may hold: the last request that was let in may reach so far beyond the bound. */
const ENVELOPE_BYTES_MAX = 16 * 1024 * 1024;
/** Heartbeats whose echo is awaited. */
const BEATS_MAX = 8;
/** Timers: deadline; due, gate, budget; heartbeat, detector, dial, acknowledge, unacknowledged. */
const TIMERS_PER_EXECUTION = 1;
const TIMERS_PER_COMMAND = 3;
const TIMERS_PER_PEER = 5;

/** Holds every table of an engine against its bound; `windowMax`: the most that any peer grants. To be asked between two turns. */
export function checkBounds(name: string, state: State, windowMax: number): void {
  const within = (what: string, size: number, bound: number): void => {
    if (!(size <= bound)) throw new Violation("bounds", `${name} has ${size} ${what}, at most ${bound} are allowed`);
  };
  const { executions, commands, peers, finished, bus, timers, options } = state;
  within("executions", executions.size, EXECUTIONS_MAX);
  within("commands", commands.size, COMMANDS_MAX);
  within("peers", peers.size, PEERS_MAX);
  within("results", finished.size, options.resultsMax);
  within("events on the bus", bus.size, BUS_EVENTS_MAX);
  within("timers", timers.size, executions.size * TIMERS_PER_EXECUTION + commands.size * TIMERS_PER_COMMAND + peers.size * TIMERS_PER_PEER);
  within("links", state.links.size, peers.size);
  within("parked gates", state.parkedGates.size, commands.size);
  for (const execution of executions.values()) {
    within("early events of one execution", execution.events.size, EARLY_EVENTS_MAX);
    for (const [operation, { inFlight }] of execution.maps) {
      const { concurrency } = execution.program.operations[operation] as { concurrency: number };
      within(`children in flight of ${execution.id}`, inFlight.size, concurrency);
    }
  }
  for (const { session, queue, link, addresses } of peers.values()) {
    within("addresses of one peer", addresses.length, ADDRESSES_MAX);
    within("requests queued for one peer", queue.length, commands.size);
    if (link !== null) within("heartbeats without an echo", link.beatsSentAt.size, BEATS_MAX);
    if (session.outbox.length > 0) checkOutbox(within, session, windowMax);
  }
}

function checkOutbox(within: (what: string, size: number, bound: number) => void, session: Session, windowMax: number): void {
  let [bytes, requestBytes, lastRequest] = [0, 0, 0];
  for (const { type, sequence, sealed } of session.outbox) {
    bytes += sealed.length;
    if (type !== "request") continue;
    requestBytes += sealed.length;
    lastRequest = sequence;
  }
  within("bytes for one peer that are counted, and not there", session.outboxBytes, bytes);
  within("bytes for one peer that are there, and not counted", bytes, session.outboxBytes);
  within("bytes of requests to one peer", requestBytes, OUTBOX_BYTES_MAX + ENVELOPE_BYTES_MAX);
  // Each was let in when fewer than the window were outstanding, and acknowledgements only grow.
  within("envelopes beyond what the peer acknowledged, up to its last request", lastRequest - session.acknowledged, windowMax);
}
