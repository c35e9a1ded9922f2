/**
 * A connection is handed over while its client writes. Whatever this process reads from then on never reaches the backend,
 * and Node reads ahead: `send` leaves the reading on, and `pause` alone fills the buffer first.
 *
 * What does stop it is a full buffer: when a chunk has been delivered and the buffer is not below its high-water mark,
 * Node stops reading before it returns to its loop. So the server is created with a mark of one byte, and one byte is put
 * into the buffer while the chunk is being delivered. No private API is involved.
 *
 *     createServer({ highWaterMark: 1, allowHalfOpen: true })
 *
 * Half-open, because a client may end its side behind its first request: Node would end ours, for the backend too.
 */
import { RuntimeError } from "@holdfast/core/peer";
import type { Socket } from "node:net";

const MARK = Buffer.from([0]);

/**
 * From now on this process reads nothing more of the connection. Call it from the socket's `data` listener, before that
 * returns: the chunk it was given is the last one. Remove the listener first if the connection may be read again.
 *
 * Throws OPTION_INVALID for a socket on which it would not work: of a server with another mark, or one that has bytes in
 * its buffer that nobody has seen.
 */
export function stopReading(socket: Socket): void {
  if (socket.readableHighWaterMark !== 1) throw new RuntimeError("OPTION_INVALID", { option: "highWaterMark", value: socket.readableHighWaterMark });
  if (socket.readableLength > 0) throw new RuntimeError("OPTION_INVALID", { reason: "the socket was paused before" });
  socket.pause();
  socket.unshift(MARK);
}

/** Whether what this process has read of the connection was all delivered, and nothing more is read. */
export function hasStoppedReading(socket: Socket): boolean {
  return socket.isPaused() && socket.readableLength === (socket.bytesRead === 0 ? 0 : MARK.length);
}

/** After `stopReading`, for a connection that was not handed over: it is read again, and still paused. */
export function readAgain(socket: Socket): void {
  if (socket.listenerCount("data") > 0) throw new RuntimeError("OPTION_INVALID", { reason: "a data listener would be given the mark" });
  socket.read(MARK.length);
}
