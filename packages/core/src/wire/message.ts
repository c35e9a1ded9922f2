import type { Chain } from "../base/ids.ts";
import type { ChainId, Lineage } from "../base/ids.ts";

/**
 * Everything that two nodes say to each other over a link. A link is an ordered, reliable, authenticated stream of
 * frames; one frame holds one message. `messages.proto` is the contract; `message-codec.ts` the code.
 */
export type Message = Hello | Envelope | Acknowledge | Heartbeat | HeartbeatEcho | BackoffNotice | Goodbye;

export const PROTOCOL_VERSION = 1;

/** The first message on a link, in both directions: where each side stands. */
export interface Hello {
  readonly kind: "hello";
  readonly protocol: number;
  readonly lineage: Lineage;
  /** Higher in every process of the lineage than in those before it: starts so far, and refusals as overtaken by this peer. */
  readonly incarnation: number;
  /** Epoch of the sender's own stream to the receiver. */
  readonly epoch: number;
  /** Lowest sequence that the sender still holds unacknowledged; equals `nextSequence` when none. */
  readonly lowestUnacknowledged: number;
  readonly nextSequence: number;
  /** What the sender has of the receiver's stream: its lineage and epoch ("" and 0 = never met), and the mark. */
  readonly peerLineage: Lineage | "";
  readonly peerEpoch: number;
  readonly mark: number;
  /** Envelopes that the sender takes beyond the mark. */
  readonly window: number;
  /** Addresses at which the sender can be dialled. */
  readonly addresses: readonly string[];
}

export interface Envelope {
  readonly kind: "envelope";
  readonly header: TransmissionHeader;
  readonly body: SealedBody;
}

/** Made anew for every transmission. */
export interface TransmissionHeader {
  /** Whole ns that the work may still take, at least 1, or never. */
  readonly remainingNs: number | "never";
  /** The sender has accepted everything up to here of the receiver's stream. */
  readonly acknowledged: number;
  /** Envelopes beyond `acknowledged` that the sender takes (0–256). */
  readonly window: number;
  readonly redelivered: boolean;
}

/** Sealed once, resent verbatim. */
export type SealedBody = RequestBody | ReplyBody | CancelBody;

interface SealedBase {
  /** Position in the sender's stream to the receiver, from 1. */
  readonly sequence: number;
  /** The command that asks, unique in the sender's (for a reply: the receiver's) lineage. */
  readonly request: number;
  /** Which attempt of that command, from 1. */
  readonly attempt: number;
}

/** Asks for one execution. `oneWay`: nobody waits for a reply. */
export interface RequestBody extends SealedBase {
  readonly type: "request";
  readonly oneWay: boolean;
  /** Idempotency key, the same for every attempt. */
  readonly key: string;
  readonly chain: Chain | null;
  /** A flow name, or a program hash. */
  readonly address: string;
  readonly ports: readonly PortPayload[];
}

export interface ReplyBody extends SealedBase {
  readonly type: "reply";
  /** `refused`: the request was not admitted and never ran. */
  readonly outcome: "ok" | "failed" | "refused";
  /** The flow's outputs, or one port named `failure`. */
  readonly ports: readonly PortPayload[];
  readonly reports: readonly EdgeReport[];
}

/** The caller no longer wants `request`. */
export interface CancelBody extends SealedBase {
  readonly type: "cancel";
}

export interface PortPayload {
  readonly name: string;
  /** Deterministic CBOR of a value. After decoding, a view into the frame. */
  readonly payload: Uint8Array;
}

/** What the replier measured of one of its own outgoing edges. */
export interface EdgeReport {
  readonly nextHop: string;
  readonly chain: ChainId;
  readonly hop: number;
  readonly srttNs: number;
  readonly rttvarNs: number;
  readonly count: number;
}

export interface Acknowledge {
  readonly kind: "acknowledge";
  readonly acknowledged: number;
  readonly window: number;
  /** The receiver of the envelopes saw a number beyond mark + 1: resend from `acknowledged` + 1. */
  readonly gap: boolean;
}

/** Sent every second on a link that is otherwise idle, and to a peer that is late, as a question. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  /** Counts up on each link. */
  readonly beat: number;
  readonly acknowledged: number;
  readonly window: number;
  /** On the sender's engine clock, in whole µs: a beat counts from when it was sent. */
  readonly sentAtUs: number;
  /** How long the sender's side of the link stays silent at most, in whole µs. 0 = it does not say. */
  readonly intervalUs: number;
}

export interface HeartbeatEcho {
  readonly kind: "heartbeat-echo";
  readonly beat: number;
}

/** "Send no new requests for so long." */
export interface BackoffNotice {
  readonly kind: "backoff-notice";
  readonly minBackoffNs: number;
}

/** The last message on a link that is closed on purpose. */
export interface Goodbye {
  readonly kind: "goodbye";
  /** Stable: `shutdown`, `duplicate-link`, `denied`, `history-lost`, `malformed`, `stale`, `overtaken`. */
  readonly code: string;
}
