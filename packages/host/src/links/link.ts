import type { PeerId } from "@holdfast/core";

/**
 * An ordered, reliable, authenticated stream of frames to one peer. Frames are whole: the link cuts the byte stream by
 * the 4-byte big-endian length in front of each (already part of the bytes that `send` takes and that `onFrame` does NOT get).
 */
export interface Link {
  readonly peer: PeerId;
  /** Did we dial, or were we dialled? */
  readonly dialled: boolean;
  /** The other end's multiaddr: for a name, that of the address which answered. Policy looks at it. */
  readonly remote: string;
  /** Bytes given to `send` that the operating system has not taken yet. */
  readonly buffered: number;
  /**
   * Queues one frame, length prefix included; frames of one synchronous burst leave in one write at its end. The bytes
   * are the link's from now on: they may leave later. Ignored after `close`.
   */
  send(frame: Uint8Array): void;
  /** Flushes what was sent, then closes, 5 s later at the latest; idempotent. Delivers no further frames. */
  close(): void;
  /** Closes at once, dropping what is queued. */
  destroy(): void;
  /** Starts the flow of frames. Before this call nothing is read beyond the handshake. */
  open(handlers: LinkHandlers): void;
}

export interface LinkHandlers {
  /** One frame's body, without its length. The bytes belong to the receiver until it returns; copy what must live longer. */
  onFrame(body: Uint8Array): void;
  /** Called once per read burst that held a frame's end, after its frames: the moment to run one turn for all of them. */
  onBurstEnd(): void;
  /** Called exactly once. `error` is set if the peer broke the protocol (RuntimeError with blame "peer") or the stream failed. */
  onClose(error: Error | undefined): void;
}

/** Makes links of one kind. */
export interface Transport {
  /** Can this transport use that multiaddr? */
  handles(address: string): boolean;
  /**
   * Throws ADDRESS_IN_USE, ADDRESS_INVALID. `admit` decides on an authenticated peer at the multiaddr `remote` before any
   * payload is read; `admitAddress` before anybody is listened to at all.
   */
  listen(address: string, admit: Admit, onLink: (link: Link) => void, admitAddress?: AdmitAddress): Promise<Listener>;
  /** Rejects if nobody answers, or if the one that answers is not `peer`. Of the addresses that a name has, only those admitted are tried. */
  dial(address: string, peer: PeerId, signal: AbortSignal, admitAddress?: AdmitAddress): Promise<Link>;
}

export type Admit = (peer: PeerId, remote: string) => boolean;
export type AdmitAddress = (remote: string) => boolean;

export interface Listener {
  /** The actual address, its port filled in. */
  readonly address: string;
  close(): Promise<void>;
}
