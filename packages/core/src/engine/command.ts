import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { CommandId, ExecutionId, PeerId } from "../base/ids.ts";
import type { Due } from "../base/time.ts";
import type { SiteLoad } from "../peer/selection/site-load.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Row } from "./journal.ts";
import type { TimerEntry, TimerSubject } from "./timer-table.ts";

export const COMMAND_KINDS = ["timer", "host", "request", "child", "event", "gate", "output"] as const;
export type CommandKind = (typeof COMMAND_KINDS)[number];

/**
 * How far one attempt of a request has come: queued for its peer → sealed under a sequence → accepted by the peer's
 * acknowledgement. An attempt that ended without completing the request is taken out of the list.
 */
export interface Attempt {
  readonly peer: PeerId;
  readonly number: number;
  state: "queued" | "sent" | "accepted";
  /** Awake time of the first transmission (0: not yet), for the round trip. Soft. */
  sentAt: number;
  /** The envelope was sent more than once: its round trip is no sample (Karn's rule). Soft. */
  redelivered: boolean;
  /** How often the budget ran out. Soft. */
  doublings: number;
  /** Awake time at which the current budget began. Soft. */
  budgetFrom: number;
  /** Awake time of its begin; 0: before a restart, so that it cannot be measured. Soft. */
  readonly beganAt: number;
  /** What it burdens; null once its end is counted there. Soft. */
  load: SiteLoad | null;
  /** The current budget, in ns; 0 = not armed yet. It only grows until the attempt gets further. Soft. */
  budgetNs: number;
}

const NOBODY: ReadonlyMap<PeerId, string> = new Map();

/**
 * The only way for an operation to wait. Ends exactly once: by completion, failure, its due time or cancellation; what
 * comes later finds no command of that id and changes nothing.
 */
export class Command implements Row, TimerSubject {
  readonly key: string;
  removed = false;
  persisted = false;
  timers: TimerEntry | undefined = undefined;

  readonly id: CommandId;
  readonly kind: CommandKind;
  readonly execution: ExecutionId;
  readonly operation: number;
  readonly due: Due;
  /** Host starts so far, or requests' attempts so far. */
  attempt = 0;
  readonly createdAt: number;
  /** For a request: whom to ask ({group} or {peer}); a child: [its execution, the item]; an event: its name. */
  readonly subject: Value;
  readonly attempts: Attempt[] = [];
  /** Peers that ended an attempt without completing the request, and why. */
  failedPeers: ReadonlyMap<PeerId, string> = NOBODY;
  ended = false;

  constructor(id: CommandId, kind: CommandKind, execution: ExecutionId, operation: number, given: { due: Due; createdAt: number; subject: Value }) {
    this.id = id;
    this.key = ROW.command + String(id);
    this.kind = kind;
    this.execution = execution;
    this.operation = operation;
    this.due = given.due;
    this.createdAt = given.createdAt;
    this.subject = given.subject;
  }

  addFailedPeer(peer: PeerId, reason: string): void {
    this.failedPeers = new Map(this.failedPeers).set(peer, reason);
  }

  encode(): Uint8Array {
    return encodeValue([
      this.kind, this.execution, this.operation, this.due === "never" ? null : this.due, this.attempt, this.createdAt, this.subject,
      this.attempts.map(({ peer, number, state }) => [peer, number, state]),
      [...this.failedPeers].map(([peer, reason]) => [peer, reason]),
    ]);
  }

  static restore(id: CommandId, bytes: Uint8Array, awake: number): Command {
    const reader = RowReader.of(ROW.command + String(id), bytes);
    const kind = reader.name() as CommandKind;
    reader.check(COMMAND_KINDS.includes(kind), "a kind of command");
    const execution = reader.text() as ExecutionId;
    const operation = reader.whole();
    const due = reader.nullOr(() => reader.whole()) ?? ("never" as const);
    const attempt = reader.whole();
    const createdAt = reader.whole();
    const command = new Command(id, kind, execution, operation, { due, createdAt, subject: reader.any() });
    command.attempt = attempt;
    for (const fields of reader.lists()) {
      const peer = fields.text() as PeerId;
      const number = fields.whole();
      const state = fields.text() as Attempt["state"];
      fields.check(state === "queued" || state === "sent" || state === "accepted", "a state of an attempt");
      // What was on its way before a restart gives no round trip.
      command.attempts.push({ peer, number, state, sentAt: 0, redelivered: true, doublings: 0, budgetFrom: awake, budgetNs: 0, beganAt: 0, load: null });
    }
    for (const pair of reader.lists()) command.addFailedPeer(pair.text() as PeerId, pair.text());
    reader.end();
    command.persisted = true;
    return command;
  }
}
