import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { EngineState } from "./engine-state.ts";
import { Journal } from "./journal.ts";
import type { Peer } from "./peer.ts";
import { restoreRows } from "./restore.ts";
import { ROW, type Encoded } from "./rows.ts";
import { captureSoftState } from "./soft-state.ts";

/**
 * Every row of the live state, hard and soft, in ascending order of the keys: what `restoreRows` makes the same state of.
 * Taken between two turns; the journal does not notice. Rows differ from the stored ones where history shows in those:
 * cells are one segment a partition, and what says nothing is left out.
 */
export function captureRows(state: EngineState): Encoded[] {
  return [...captureHardState(state), ...captureSoftState(state)].sort(([a], [b]) => (a < b ? -1 : 1));
}

function* captureHardState(state: EngineState): Iterable<Encoded> {
  for (const row of [state.node, state.policy, state.frontier, state.bus]) yield [row.key, row.encode()];
  for (const program of state.programRows()) yield [program.key, program.encode(state.journal)];
  // An execution touches the rows of its large values. They are taken from it below; the real journal must not hear of them.
  const scratch = new Journal();
  for (const execution of state.executions.values()) {
    yield [execution.key, execution.encode(scratch)];
    for (const row of execution.extraRows()) yield [row.key, row.encode(scratch)];
  }
  for (const command of state.commands.values()) yield [command.key, command.encode()];
  for (const finished of state.finished.values()) yield [finished.key, finished.encode()];
  for (const peer of state.peers.values()) yield* capturePeer(state, peer);
  yield* state.cells.capture();
}

function* capturePeer(state: EngineState, peer: Peer): Iterable<Encoded> {
  peer.hard = { health: state.governor.peerHealth(peer.id), backoff: state.backoff.state(peer.id) };
  const isKnown = peer.addresses.length > 0 || [...peer.references].some((reason) => reason !== "link");
  if (isKnown || peer.hard.health !== undefined || peer.hard.backoff !== undefined || peer.siteVerdict !== "live") {
    yield [peer.key, peer.encode()];
  }
  const { session } = peer;
  const hasHistory = session.epoch > 1 || session.nextSequence > 1 || session.peerEpoch > 0;
  if (hasHistory) yield [session.key, session.encode()];
  for (const entry of session.outbox) yield [entry.key, entry.encode()];
}

/**
 * Folds stored rows into a fresh state and compares it with the live one: the keys of the rows whose hard part differs.
 * None may, between any two turns after which everything was committed. `stored` is what a store holds then.
 */
export function foldDifferences(state: EngineState, stored: readonly Encoded[]): string[] {
  const { identity, definitions, options, configuredPolicy: policy, groups } = state;
  const folded = new EngineState({ identity, definitions, options, policy, groups, seed: "" });
  restoreRows(folded, stored);
  const live = new Map(hardRows(state));
  const differing: string[] = [];
  for (const [key, bytes] of hardRows(folded)) {
    const other = live.get(key);
    live.delete(key);
    if (other === undefined || !sameBytes(bytes, other)) differing.push(key);
  }
  return [...differing, ...live.keys()];
}

/** Rows without what may be stale after a crash (design §4): clocks and counters, last events, windows. */
function* hardRows(state: EngineState): Iterable<Encoded> {
  for (const [key, bytes] of captureHardState(state)) {
    const fields = key === ROW.node || key.startsWith(ROW.peer) || key.startsWith(ROW.session) ? decodeValue(bytes) : null;
    if (!Array.isArray(fields)) yield [key, bytes];
    else if (key === ROW.node) yield [key, encodeValue(fields.slice(0, NODE_HARD_FIELDS))];
    else if (key.startsWith(ROW.session)) yield [key, encodeValue(fields.filter((_, at) => at !== SESSION_WINDOW_FIELD))];
    else {
      const hard = hardPeer(fields as Value[]);
      if (hard !== undefined) yield [key, hard];
    }
  }
}

/** Of the row `node`: up to the generator's state; clocks and counters follow. */
const NODE_HARD_FIELDS = 7;
/** Of a session's row: what the peer last granted, which its next Hello says again. */
const SESSION_WINDOW_FIELD = 3;

function hardPeer([addresses, references, verdict, health, backoff]: readonly Value[]): Uint8Array | undefined {
  const [failures, , down] = (health ?? [0, 0, false]) as readonly Value[];
  const unblemished = failures === 0 && down === false;
  const says = (addresses as readonly Value[]).length > 0 || (references as readonly Value[]).length > 0 || verdict !== "live";
  if (!says && unblemished && backoff === null) return undefined;
  return encodeValue([addresses, references, verdict, failures, down, backoff] as Value);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Many are compared: `every` would take several times as long.
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
