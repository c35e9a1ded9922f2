import { randomBytes } from "node:crypto";
import { closeSync, unlinkSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { FrameReader } from "@holdfast/core/frame";
import { RuntimeError } from "@holdfast/core/peer";
import { encodeMessage, parseMessage } from "../protocol/message-stream.ts";
import { FIRST_FRAME_BYTES_MAX, ToBroker } from "../protocol/messages.ts";
import { answerMessage, parseAnswer } from "./channel-messages.ts";
import { encodeOffer, OfferFrames } from "./offer-frames.ts";
import { nativePipes } from "./raw-pipe.ts";
import { hasStoppedReading } from "./stop-reading.ts";
import type { NativeHandle, NativePipe, NativePipes } from "./raw-pipe.ts";
import type { HandoffChannel, HandoffChannelHandlers, OfferHead, OfferReceiver, OnOffer, PreparedChannel } from "./handoff-channel.ts";

/** The backend's end of the channel: behind its standard streams, the listening socket and Node's own channel. */
const RAW_FD = 5;
/** Linux: this user has more descriptors on their way than a process may have open. Node has no name for it. */
const ETOOMANYREFS = 109;

/** Whether this process can make or take a raw channel: Linux, and no permission model. */
export function rawChannelAvailable(): boolean {
  return nativePipes() !== undefined;
}

/**
 * Makes a channel of our own: a connected pair of Unix sockets, one end for the backend to inherit. `directory` is private
 * to us; the path that the pair meets at exists for a moment. Throws NOT_RUNNING if raw channels are not available, and what
 * the system says if it cannot make one.
 */
export async function prepareRawChannel(directory: string): Promise<PreparedChannel> {
  const pipes = nativePipes();
  if (pipes === undefined) throw new RuntimeError("NOT_RUNNING", { reason: "raw channels are not available here" });
  const { near, far } = await connectedPair(pipes, join(directory, `.${randomBytes(6).toString("hex")}`));
  return {
    kind: "raw", stdio: [far.fd], description: { kind: "raw", fd: RAW_FD },
    open(_child, handlers) {
      far.close(); // Or the channel would never end.
      return new RawChannel(pipes, near, handlers);
    },
    abandon() {
      near.close();
      far.close();
    },
  };
}

async function connectedPair(pipes: NativePipes, path: string): Promise<{ near: NativePipe; far: NativeHandle }> {
  const near = new pipes.Pipe(pipes.IPC);
  const server = new pipes.Pipe(pipes.SERVER);
  const far = Promise.withResolvers<NativeHandle>();
  const connected = Promise.withResolvers<void>();
  server.onconnection = (status, accepted) => (status < 0 ? far.reject(systemError(status)) : far.resolve(accepted));
  const request = new pipes.ConnectRequest();
  request.oncomplete = (status) => (status < 0 ? connected.reject(systemError(status)) : connected.resolve());
  try {
    check(server.bind(path));
    try {
      check(server.listen(1));
      check(near.connect(request, path)); // Connects at once; only that it has done so is told later.
    } finally {
      unlinkSync(path);
    }
    const [accepted] = await Promise.all([far.promise, connected.promise]);
    return { near, far: accepted };
  } catch (error) {
    near.close();
    throw error;
  } finally {
    server.close();
  }
}

class RawChannel implements HandoffChannel {
  readonly kind = "raw";
  readonly #pipes: NativePipes;
  readonly #pipe: NativePipe;
  readonly #answers = new FrameReader(FIRST_FRAME_BYTES_MAX);
  #handlers: HandoffChannelHandlers | undefined;
  /** The backend reads no more. */
  #isBroken = false;

  constructor(pipes: NativePipes, pipe: NativePipe, handlers: HandoffChannelHandlers) {
    this.#pipes = pipes;
    this.#pipe = pipe;
    this.#handlers = handlers;
    pipe.onread = (bytes) => this.#handleRead(bytes);
    check(pipe.readStart());
  }

  offer(head: OfferHead, rest: Uint8Array, socket: Socket): void {
    if (this.#handlers === undefined || this.#isBroken) throw new RuntimeError("BACKEND_LOST", { reason: "its channel is closed" });
    const handle = nativeHandle(socket);
    if (handle === null) throw new RuntimeError("BACKEND_LOST", { reason: "the connection is closed" });
    if (!hasStoppedReading(socket)) throw new RuntimeError("OPTION_INVALID", { reason: "the connection is being read" });
    const frame = encodeOffer(head, rest);
    const request = new this.#pipes.WriteRequest();
    let release = () => {};
    request.oncomplete = (status) => {
      release();
      if (status < 0) this.#handleWriteFailure(status, head.id);
    };
    request.buffer = frame;
    const status = this.#pipe.writeBuffer(request, frame, handle);
    if (status < 0) throw new RuntimeError("BACKEND_LOST", { reason: getSystemErrorName(status) });
    if (this.#pipe.writeQueueSize > 0) release = deferClose(handle);
  }

  close(): void {
    if (this.#handlers === undefined) return;
    this.#handlers = undefined;
    this.#pipe.close();
  }

  #handleRead(bytes: ArrayBuffer | undefined): void {
    takePending(this.#pipe)?.close(); // A backend passes nothing to its broker.
    if (bytes === undefined) return this.#handleLoss();
    try {
      this.#answers.push(new Uint8Array(bytes));
      for (let body; this.#handlers !== undefined && (body = this.#answers.pollBody()) !== undefined; ) {
        const answer = parseAnswer(parseMessage(ToBroker, body));
        if (answer !== undefined) this.#handlers.onAnswer(answer);
      }
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.#handleLoss();
    }
  }

  #handleWriteFailure(status: number, id: number): void {
    if (status === -ETOOMANYREFS) {
      // Nothing of the frame has left, and the channel is whole.
      this.#handlers?.onAnswer({ id, accepted: false, reason: "no-handle" });
    } else if (status === -constants.errno.EPIPE || status === -constants.errno.ECONNRESET) {
      this.#isBroken = true; // C4: what it had answered before it ended is still to be read, and then the end.
    } else this.#handleLoss();
  }

  #handleLoss(): void {
    const handlers = this.#handlers;
    this.close();
    handlers?.onLost(); // C3
  }
}

interface DeferredClose {
  writes: number;
  isDue: boolean;
  onClose: (() => void) | undefined;
}

const deferredCloses = new WeakMap<NativeHandle, DeferredClose>();

/**
 * Until a queued write has begun, libuv has but a pointer to the handle that goes with it: a socket that is destroyed in
 * the meantime would leave the pointer dangling. So it is closed when its writes are over. Returns what says that one is.
 */
function deferClose(handle: NativeHandle): () => void {
  const deferred = deferredCloses.get(handle) ?? { writes: 0, isDue: false, onClose: undefined };
  deferredCloses.set(handle, deferred);
  deferred.writes++;
  handle.close = (onClose) => void Object.assign(deferred, { isDue: true, onClose });
  return () => {
    deferred.writes--;
    if (deferred.writes > 0) return;
    deferredCloses.delete(handle);
    Reflect.deleteProperty(handle, "close"); // The prototype's is back.
    if (deferred.isDue) handle.close(deferred.onClose);
  };
}

/**
 * The backend's end. If this process cannot take it, it is closed, and the broker learns that at once.
 */
export function receiveRawOffers(fd: number, onOffer: OnOffer): OfferReceiver {
  const pipes = nativePipes();
  if (pipes === undefined) {
    closeSync(fd);
    return { answer() {}, close() {} };
  }
  return new RawReceiver(pipes, fd, onOffer);
}

class RawReceiver implements OfferReceiver {
  readonly #pipes: NativePipes;
  readonly #pipe: NativePipe;
  readonly #frames: OfferFrames<NativeHandle>;
  #closed = false;

  constructor(pipes: NativePipes, fd: number, onOffer: OnOffer) {
    this.#pipes = pipes;
    this.#pipe = new pipes.Pipe(pipes.IPC);
    this.#frames = new OfferFrames((head, rest, handle) => onOffer(head, rest, handle && pausedSocket(handle)));
    check(this.#pipe.open(fd));
    this.#pipe.onread = (bytes) => this.#handleRead(bytes);
    check(this.#pipe.readStart());
    this.#pipe.unref();
  }

  answer(id: number, refusal: Parameters<OfferReceiver["answer"]>[1]): void {
    if (this.#closed) return;
    const request = new this.#pipes.WriteRequest();
    request.oncomplete = () => {}; // A broker that ended needs no answer.
    request.buffer = encodeMessage(answerMessage(id, refusal));
    this.#pipe.writeBuffer(request, request.buffer);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#frames.close();
    this.#pipe.close();
  }

  #handleRead(bytes: ArrayBuffer | undefined): void {
    const handle = takePending(this.#pipe);
    if (bytes === undefined) return this.close();
    try {
      this.#frames.handleRead(new Uint8Array(bytes), handle);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.close(); // Not our broker's protocol.
    }
  }
}

function takePending(pipe: NativePipe): NativeHandle | undefined {
  const handle = pipe.pendingHandle ?? undefined;
  pipe.pendingHandle = null;
  return handle;
}

/** The options that a server gives the sockets it accepts, of which the types know but a part. */
function pausedSocket(handle: NativeHandle): Socket {
  return new Socket({ handle, allowHalfOpen: true, readable: true, writable: true, pauseOnCreate: true } as object);
}

function nativeHandle(socket: Socket): NativeHandle | null {
  return (socket as unknown as { _handle: NativeHandle | null })._handle;
}

function check(status: number): void {
  if (status < 0) throw systemError(status);
}

function systemError(status: number): Error {
  return Object.assign(new Error(`the channel's pipe: ${getSystemErrorName(status)}`), { code: getSystemErrorName(status) });
}
