import { decodeMessage, NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { LinkEnd, LinkPorts } from "./link-end.ts";

/** Envelopes of one link that may be replayed, up to seconds later. */
const REPLAYS_MAX = 16;

/**
 * Breaks the contract of a link on purpose, between any two frames: envelopes are lost, doubled, replayed, and overtaken by those
 * behind them. Their frames stay whole, and so does all else, as if a relay had gone mad.
 */
export class Tampering {
  readonly #ports: LinkPorts;
  /** The last envelopes that each end sent. */
  readonly #sent = new WeakMap<LinkEnd, Uint8Array[]>();

  constructor(ports: LinkPorts) {
    this.#ports = ports;
  }

  /** Sends a frame, or does not. */
  send(end: LinkEnd, frame: Uint8Array): void {
    if (!end.isOpen || decodeMessage(frame.subarray(4)).kind !== "envelope") return end.send(frame);
    const { dice, ways, reached } = this.#ports;
    const { lost, doubled, replayed, overtaken } = this.#ports.plan.tampering;
    const sent = this.#remember(end, frame);
    if (dice.chance("lost", lost)) return reached("an envelope was lost");
    if (dice.chance("doubled", doubled)) end.send(frame);
    if (dice.chance("replayed", replayed)) this.#sendLater(end, dice.pick("which", sent), ways.delay() + dice.exponential("replayed after", 2 * NS_PER_S));
    if (dice.chance("overtaken", overtaken)) this.#sendLater(end, frame, ways.delay() + dice.exponential("overtaken by", 20 * NS_PER_MS));
    else end.send(frame);
  }

  #remember(end: LinkEnd, frame: Uint8Array): readonly Uint8Array[] {
    const sent = this.#sent.get(end) ?? [];
    this.#sent.set(end, sent);
    sent.push(frame);
    if (sent.length > REPLAYS_MAX) sent.shift();
    return sent;
  }

  #sendLater(end: LinkEnd, frame: Uint8Array, ns: number): void {
    this.#ports.queue.after(ns, () => end.send(frame));
  }
}
