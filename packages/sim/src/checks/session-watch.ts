import { decodeValue, ROW } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";

/** The stored row of a session, as far as it is about order. */
interface Stored {
  readonly epoch: number;
  readonly next: number;
  readonly acknowledged: number;
  readonly peerLineage: string;
  readonly peerEpoch: number;
  readonly mark: number;
}

/**
 * Follows both ends of every session by what is durable.
 *
 *   W1. Within an epoch, the next sequence, what the peer acknowledged, and the mark never go back.
 *   W2. Nobody was told more than the other end holds: acknowledged ≤ its mark, mark < its next sequence.
 */
export class SessionWatch {
  readonly #stored = new Map<Machine, Map<string, Stored>>();

  stored(machine: Machine, peer: string, bytes: Uint8Array): void {
    const now = parse(bytes);
    const { epoch, next, acknowledged, peerLineage, peerEpoch, mark } = now;
    const sessions = this.#stored.get(machine) ?? new Map<string, Stored>();
    this.#stored.set(machine, sessions);
    const before = sessions.get(peer);
    sessions.set(peer, now);
    const name = (): string => `${machine.name}'s session`;
    if (before !== undefined) {
      require(epoch >= before.epoch, "monotone", () => `${name()}: epoch ${epoch} after ${before.epoch}`);
      if (epoch === before.epoch) {
        require(next >= before.next, "monotone", () => `${name()}: next sequence ${next} after ${before.next}`); // W1
        require(acknowledged >= before.acknowledged, "monotone", () => `${name()}: acknowledged ${acknowledged} after ${before.acknowledged}`);
      }
      const follows = peerLineage === before.peerLineage && peerEpoch === before.peerEpoch;
      if (follows) require(mark >= before.mark, "monotone", () => `${name()}: mark ${mark} after ${before.mark}`);
    }
    const other = [...this.#stored.keys()].find(({ id }) => id === peer);
    const theirs = other === undefined ? undefined : this.#stored.get(other)?.get(machine.id);
    if (other === undefined || theirs === undefined) return;
    if (theirs.peerLineage === machine.lineage && theirs.peerEpoch === epoch) {
      require(acknowledged <= theirs.mark, "monotone", () => `${name()}: ${acknowledged} acknowledged by ${other.name}, which holds ${theirs.mark}`); // W2
    }
    if (peerLineage === other.lineage && peerEpoch === theirs.epoch) {
      require(mark < theirs.next, "monotone", () => `${name()}: mark ${mark}, and ${other.name} has sent ${theirs.next - 1}`); // W2
    }
  }

  /** Who has taken more from the machine than these rows of it know to have sent, or has given it more than they hold. */
  ahead(machine: Machine, rows: ReadonlyMap<string, Uint8Array>): Machine[] {
    return [...this.#stored].flatMap(([peer, sessions]) => {
      const theirs = sessions.get(machine.id);
      const row = rows.get(ROW.session + peer.id);
      const ours = row === undefined ? undefined : parse(row);
      const isAhead = theirs !== undefined && (theirs.mark >= (ours?.next ?? 1) || theirs.acknowledged > (ours?.mark ?? 0));
      return isAhead ? [peer] : [];
    });
  }

  /** How much of the other's stream the machine has durably taken. */
  markOf(machine: Machine, other: Machine): number {
    const row = machine.disk.rows.get(ROW.session + other.id);
    return row === undefined ? 0 : parse(row).mark;
  }
}

function parse(bytes: Uint8Array): Stored {
  const [epoch, next, acknowledged, , peerLineage, peerEpoch, mark] = decodeValue(bytes) as [number, number, number, number, string, number, number];
  return { epoch, next, acknowledged, peerLineage, peerEpoch, mark };
}
