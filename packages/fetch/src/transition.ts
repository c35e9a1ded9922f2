import type { TransitionKind } from "./peer-book.ts";

/** Something about a peer changed. Its `type` is the kind. */
export class PeerTransition extends Event {
  declare readonly type: TransitionKind;
  readonly peer: string;
  /** For how long the peer is left alone, in ms; 0 where that is not the point. */
  readonly retryAfterMs: number;
  readonly reason: string;

  constructor(kind: TransitionKind, peer: string, retryAfterMs: number, reason: string) {
    super(kind);
    this.peer = peer;
    this.retryAfterMs = retryAfterMs;
    this.reason = reason;
  }
}

export type TransitionListener = ((event: PeerTransition) => void) | { handleEvent(event: PeerTransition): void };
type ListenerOptions = Parameters<EventTarget["addEventListener"]>[2];

/** An EventTarget whose events are transitions. */
export interface TransitionTarget extends EventTarget {
  addEventListener(kind: TransitionKind, listener: TransitionListener | null, options?: ListenerOptions): void;
  removeEventListener(kind: TransitionKind, listener: TransitionListener | null, options?: ListenerOptions): void;
}
export const TransitionTarget = EventTarget as new () => TransitionTarget;
