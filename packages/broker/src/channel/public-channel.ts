import { Socket } from "node:net";
import { RuntimeError } from "@holdfast/core/peer";
import { checkMessage } from "../protocol/message-stream.ts";
import { answerMessage, isOffer, OfferMessage, parseAnswer } from "./channel-messages.ts";
import { hasStoppedReading } from "./stop-reading.ts";
import type { ChildProcess } from "node:child_process";
import type { Offer } from "../protocol/messages.ts";
import type { HandoffChannel, HandoffChannelHandlers, OfferHead, OfferReceiver, OnOffer, PreparedChannel } from "./handoff-channel.ts";

/**
 * The channel over Node's own: `send` with a socket, on the child's 'ipc' descriptor, which carries other messages as well.
 * Works on every platform for TCP, and for Unix sockets where there are any. Node sends the next connection when the last
 * one has been received, and forgets one that the kernel had no descriptor for: that offer is never answered.
 */
export function preparePublicChannel(): PreparedChannel {
  return {
    kind: "public", stdio: [], description: { kind: "public" },
    open: (child, handlers) => new PublicChannel(child, handlers),
    abandon() {},
  };
}

/** The end of a channel follows that of the process at once, unless it has left a child that holds it. */
const END_MS_MAX = 100;

class PublicChannel implements HandoffChannel {
  readonly kind = "public";
  readonly #child: ChildProcess;
  #handlers: HandoffChannelHandlers | undefined;
  #late: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, handlers: HandoffChannelHandlers) {
    this.#child = child;
    this.#handlers = handlers;
    // Of a backend that ends with a connection on its way, Node tells by "exit" alone.
    child.on("message", this.#handleMessage).once("disconnect", this.#handleLoss).once("exit", this.#handleExit);
  }

  offer(head: OfferHead, rest: Uint8Array, socket: Socket): void {
    if (this.#handlers === undefined || !this.#child.connected) throw new RuntimeError("BACKEND_LOST", { reason: "its channel is closed" });
    if (socket.destroyed) throw new RuntimeError("BACKEND_LOST", { reason: "the connection is closed" });
    if (!hasStoppedReading(socket)) throw new RuntimeError("OPTION_INVALID", { reason: "the connection is being read" });
    const message: Offer = { kind: "offer", ...head, rest: Buffer.from(rest.buffer, rest.byteOffset, rest.byteLength).toString("base64") };
    detachFromServer(socket);
    this.#child.send(message, socket, { keepOpen: true }, (error) => {
      if (error !== null) this.#handleLoss();
    });
  }

  close(): void {
    this.#handlers = undefined;
    this.#child.off("message", this.#handleMessage).off("disconnect", this.#handleLoss).off("exit", this.#handleExit);
    clearTimeout(this.#late);
  }

  readonly #handleMessage = (message: unknown): void => {
    try {
      const answer = parseAnswer(message);
      if (answer !== undefined) this.#handlers?.onAnswer(answer);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.#handleLoss();
    }
  };

  /** C4: what it had said is read before the channel's end is told; which Node may forget to tell. */
  readonly #handleExit = (): void => {
    if (this.#child.connected) this.#late = setTimeout(this.#handleLoss, END_MS_MAX);
    else this.#handleLoss();
  };

  readonly #handleLoss = (): void => {
    const handlers = this.#handlers;
    this.close();
    handlers?.onLost(); // C3
  };
}

/** A server whose connections were sent away would wait for the other process to close them before it says "close". */
function detachFromServer(socket: Socket): void {
  (socket as { server?: unknown }).server = null;
}

export function receivePublicOffers(onOffer: OnOffer): OfferReceiver {
  const handleMessage = (message: unknown, handle: unknown): void => {
    if (!isOffer(message)) return;
    const socket = handle instanceof Socket ? handle : undefined;
    const offer = checkOffer(message);
    if (offer === undefined) return void socket?.destroy(); // Not our broker's protocol. Its deadline ends this offer.
    if (socket !== undefined) socket.pause().allowHalfOpen = true;
    const { kind: _, rest, ...head } = offer;
    onOffer(head, Buffer.from(rest, "base64"), socket);
  };
  process.on("message", handleMessage);
  process.channel?.unref();
  return {
    answer(id, refusal) {
      if (process.connected) process.send?.(answerMessage(id, refusal), undefined, undefined, () => {}); // A broker that ended needs none.
    },
    close: () => void process.off("message", handleMessage),
  };
}

function checkOffer(message: unknown): Offer | undefined {
  try {
    return checkMessage(OfferMessage, message);
  } catch (error) {
    if (error instanceof RuntimeError) return undefined;
    throw error;
  }
}
