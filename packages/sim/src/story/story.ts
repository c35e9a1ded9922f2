import { decodeMessage, type Message } from "@holdfast/core";

/** Something that happened at one node. */
export interface Moment {
  readonly atNs: number;
  readonly node: number;
  readonly text: string;
}

/** A frame that left one node for another. */
export interface Journey {
  readonly sentNs: number;
  readonly from: number;
  readonly to: number;
  readonly text: string;
  /** When it came in: several times, if the network doubled it; never, if it was lost. */
  readonly arrivedNs: number[];
}

/** What a run did, for a picture of it: moments at the nodes, and frames between them. */
export class Story {
  readonly moments: Moment[] = [];
  readonly journeys: Journey[] = [];
  /** Frames on their way, by their ends and bytes. */
  readonly #under = new Map<string, Journey[]>();

  /** A line of the trace. Those that begin with the name of a node, or of one of its processes, are about it. */
  noted(atNs: number, line: string): void {
    const [, node, text] = /^n(\d+)(?:\.\d+)? (.*)$/.exec(line) ?? [];
    if (node !== undefined && text !== undefined) this.moments.push({ atNs, node: Number(node), text });
  }

  sent(sentNs: number, from: number, to: number, body: Uint8Array): void {
    const journey: Journey = { sentNs, from, to, text: describe(decodeMessage(body)), arrivedNs: [] };
    this.journeys.push(journey);
    const way = wayOf(from, to, body);
    this.#under.set(way, [...(this.#under.get(way) ?? []), journey]);
  }

  received(atNs: number, from: number, to: number, body: Uint8Array): void {
    const sent = this.#under.get(wayOf(from, to, body)) ?? [];
    (sent.find(({ arrivedNs }) => arrivedNs.length === 0) ?? sent.at(-1))?.arrivedNs.push(atNs);
  }
}

function wayOf(from: number, to: number, body: Uint8Array): string {
  return `${from}>${to} ${Buffer.from(body).toString("base64")}`;
}

function describe(message: Message): string {
  switch (message.kind) {
    case "envelope": {
      const { type } = message.body;
      return `${type} ${message.body.sequence}${message.header.redelivered ? " again" : ""}`;
    }
    case "acknowledge": return `acknowledges ${message.acknowledged}`;
    default: return message.kind;
  }
}
