import { encodeValue } from "../base/value-codec.ts";
import type { ProgramHash } from "../base/ids.ts";
import type { Definitions } from "../flow/definitions.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Journal, Row } from "./journal.ts";
import type { BusEvent } from "./engine-events.ts";
import type { PeerId } from "../base/ids.ts";

/** Events beyond this bound are dropped, oldest first, and counted. */
export const BUS_EVENTS_MAX = 1024;

/**
 * What happens to peers and to the node, on its way to the flows that subscribed to it. An event outlives its turn
 * only if some flow wants it; telemetry sees all of them.
 */
export class EventBus implements Row {
  readonly key = ROW.bus;
  removed = false;
  persisted = false;
  #pending: BusEvent[] = [];
  readonly #subscribers = new Map<string, ProgramHash[]>();
  dropped = 0;

  constructor(definitions: Definitions) {
    for (const hash of definitions.flows.values()) {
      for (const event of definitions.programs.get(hash)?.subscribes ?? []) {
        const subscribers = this.#subscribers.get(event) ?? [];
        subscribers.push(hash);
        this.#subscribers.set(event, subscribers);
      }
    }
  }

  get size(): number {
    return this.#pending.length;
  }

  subscribersOf(event: string): readonly ProgramHash[] {
    return this.#subscribers.get(event) ?? [];
  }

  publish(event: BusEvent, journal: Journal): void {
    if (!this.#subscribers.has(event.event)) return;
    if (this.#pending.length === BUS_EVENTS_MAX) {
      this.#pending.shift();
      this.dropped++;
    }
    this.#pending.push(event);
    journal.touch(this);
  }

  /** Takes everything that waits for delivery. */
  drain(journal: Journal): readonly BusEvent[] {
    const events = this.#pending;
    if (events.length > 0) {
      this.#pending = [];
      journal.touch(this);
    }
    return events;
  }

  encode(): Uint8Array {
    return encodeValue([
      this.#pending.map(({ event, peer, details }) => [event, peer, details]),
      [...this.#subscribers].map(([event, hashes]) => [event, [...hashes]]),
    ]);
  }

  restore(bytes: Uint8Array): void {
    const reader = RowReader.of(this.key, bytes);
    this.#pending = reader.lists().map((fields) => {
      return { event: fields.text(), peer: fields.nullOr(() => fields.text()) as PeerId | null, details: fields.any() };
    });
    reader.items(); // Subscriptions follow from the definitions; they are stored to be seen.
    reader.end();
    this.persisted = true;
  }
}
