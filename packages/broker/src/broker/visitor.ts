import { RuntimeError } from "@holdfast/core/peer";
import { readAgain, stopReading } from "../channel/stop-reading.ts";
import { encodeMessage, MessageStream } from "../protocol/message-stream.ts";
import { ClientFirst, FIRST_FRAME_MS_MAX, refusedMessage } from "../protocol/messages.ts";
import type { Socket } from "node:net";
import type { Redirect } from "../protocol/messages.ts";
import type { Refusal } from "../protocol/refusal.ts";

/** After a last word: so long may the client take to hear it and hang up. */
const LINGER_MS = 1_000;

/**
 * A connection at the broker's door. Until it is decided what becomes of it nothing is read beyond the first frame and what
 * came with it: whoever gets the connection reads on from there.
 */
export class Visitor {
  readonly socket: Socket;
  readonly first: ClientFirst;
  /** What was read behind the first frame. */
  readonly rest: Uint8Array;

  private constructor(socket: Socket, first: ClientFirst, rest: Uint8Array) {
    this.socket = socket;
    this.first = first;
    this.rest = rest;
  }

  /** Undefined if the connection ended first, spoke nonsense or took too long: it is closed then, without a word. */
  static receive(socket: Socket): Promise<Visitor | undefined> {
    return new Promise((done) => {
      const stream = new MessageStream();
      const finish = (visitor: Visitor | undefined) => {
        clearTimeout(late);
        socket.off("data", handleData).off("end", handleEnd).off("close", handleEnd);
        if (visitor === undefined) socket.destroy();
        done(visitor);
      };
      const handleEnd = () => finish(undefined);
      const late = setTimeout(handleEnd, FIRST_FRAME_MS_MAX);
      const handleData = (chunk: Buffer) => {
        try {
          stream.push(chunk);
          const first = stream.poll(ClientFirst);
          if (first === undefined) return;
          const rest = Uint8Array.from(stream.takeRest());
          socket.off("data", handleData); // Before: if this process reads on, it is not to be given the mark.
          stopReading(socket);
          finish(new Visitor(socket, first, rest));
        } catch (error) {
          if (!(error instanceof RuntimeError)) throw error;
          finish(undefined);
        }
      };
      socket.on("data", handleData).once("end", handleEnd).once("close", handleEnd);
    });
  }

  redirect(to: Omit<Redirect, "kind">): void {
    this.#say({ kind: "redirect", ...to } satisfies Redirect);
  }

  refuse(refusal: Refusal): void {
    this.#say(refusedMessage(refusal));
  }

  /** Somebody else has the connection: our copy goes, the connection stays. */
  release(): void {
    this.socket.destroy();
  }

  /** This process goes on reading: the socket as it was behind the first frame, without what `rest` holds. */
  keep(): Socket {
    readAgain(this.socket);
    return this.socket;
  }

  /** What the client still sends is thrown away: a close with unread bytes would break the connection before it has heard. */
  #say(message: object): void {
    this.socket.end(encodeMessage(message));
    this.socket.resume();
    const late = setTimeout(() => this.socket.destroy(), LINGER_MS);
    this.socket.once("close", () => clearTimeout(late)).once("end", () => this.socket.destroySoon());
  }
}
