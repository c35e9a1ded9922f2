import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { NackReason, Offer } from "../protocol/messages.ts";

/** What an offer says; the bytes that were read behind the Hello travel with it as they are. */
export type OfferHead = Omit<Offer, "kind" | "rest">;

/** How a backend answered an offer. */
export type OfferAnswer = Readonly<{ id: number; accepted: true } | { id: number; accepted: false; reason: NackReason }>;

/**
 * The broker's end of a channel that passes live connections to one backend.
 *
 * Invariants, for every implementation (channel/testing/channel-conformance.ts):
 *   C1. `offer` leaves the broker's own copy of the socket open and not reading: the caller closes it, or writes on it.
 *   C2. Offers arrive in order, each with the connection that was sent with it, or with none.
 *   C3. A channel that is lost calls `onLost` once; nothing is answered after that.
 *   C4. `onLost` comes after every answer that a backend gave before it ended.
 *
 * No offer is sure of an answer: it may never leave, or its connection be dropped on the way. The caller has a deadline.
 */
export interface HandoffChannel {
  readonly kind: "public" | "raw";
  /**
   * Sends a connection. Throws BACKEND_LOST if the channel or the socket is gone; then nothing has left. The socket has
   * stopped reading (stop-reading.ts). Its copy here is given up with `destroy`, never `end`: that ends it for the backend too.
   */
  offer(head: OfferHead, rest: Uint8Array, socket: Socket): void;
  /** No handler is called any more. */
  close(): void;
}

export interface HandoffChannelHandlers {
  onAnswer(answer: OfferAnswer): void;
  onLost(): void;
}

/** The backend's end. It does not keep the process running. */
export interface OfferReceiver {
  /** Answers an offer: `undefined` accepts it. */
  answer(id: number, refusal: NackReason | undefined): void;
  close(): void;
}

/**
 * Called for every offer. `socket` is undefined if the connection was lost on the way. It is paused, allows a half-open
 * connection like the server that accepted it, and is owned by the callee.
 */
export type OnOffer = (head: OfferHead, rest: Uint8Array, socket: Socket | undefined) => void;

/** A channel that is being made: `prepareChannel` before the backend is spawned, `open` right after. */
export interface PreparedChannel {
  readonly kind: HandoffChannel["kind"];
  /** Goes behind descriptor 4 (Node's own channel) in the backend's `stdio`. */
  readonly stdio: readonly number[];
  /** Goes into what the backend is told of itself, so that it opens the other end. */
  readonly description: ChannelDescription;
  open(child: ChildProcess, handlers: HandoffChannelHandlers): HandoffChannel;
  /** Frees what was prepared, if the backend could not be spawned. */
  abandon(): void;
}

export type ChannelDescription = Readonly<{ kind: "public" } | { kind: "raw"; fd: number }>;
