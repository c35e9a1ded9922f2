import { RuntimeError } from "@holdfast/core/peer";
import { MessageStream } from "./message-stream.ts";
import type { Socket } from "node:net";
import type { GenericSchema } from "valibot";

/** Why there is no first frame: the other side ended first, broke off, or took too long. */
export type NoFrame = "ended" | "failed" | "late";

/**
 * Reads the first frame of a connection that this process keeps. What came behind it stays in the socket, which is left as
 * if nobody had touched it: the first `data` listener or `for await` begins to read. Throws what MessageStream throws.
 */
export function readFirstFrame<T>(socket: Socket, schema: GenericSchema<unknown, T>, withinMs: number): Promise<T | NoFrame> {
  return new Promise((done, refuse) => {
    const stream = new MessageStream();
    const finish = (settle: () => void) => {
      clearTimeout(late);
      socket.off("readable", handleReadable).off("end", handleEnd).off("close", handleFailure).off("error", handleFailure);
      settle();
    };
    const handleEnd = () => finish(() => done("ended"));
    const handleFailure = () => finish(() => done("failed"));
    // Timers come before the sockets: if it was this process that was late, the frame may be there.
    const late = setTimeout(() => setImmediate(() => finish(() => done("late"))), withinMs);
    const handleReadable = () => {
      try {
        for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
          stream.push(chunk);
          const first = stream.poll(schema);
          if (first === undefined) continue;
          const rest = stream.takeRest();
          if (rest.length > 0) socket.unshift(rest);
          return finish(() => done(first));
        }
      } catch (error) {
        if (!(error instanceof RuntimeError)) throw error;
        finish(() => refuse(error));
      }
    };
    socket.on("readable", handleReadable).once("end", handleEnd).once("close", handleFailure).once("error", handleFailure);
  });
}
