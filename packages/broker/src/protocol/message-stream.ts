import { encodeFrame, FrameReader } from "@holdfast/core/frame";
import { RuntimeError } from "@holdfast/core/peer";
import * as v from "valibot";
import { FIRST_FRAME_BYTES_MAX, FRAME_BYTES_MAX } from "./messages.ts";

type Schema<T> = v.GenericSchema<unknown, T>;

/** A message as its frame. */
export function encodeMessage(message: object): Uint8Array {
  return encodeFrame(Buffer.from(JSON.stringify(message)));
}

/** Throws ENVELOPE_MALFORMED for what is no JSON or not of this shape. */
export function parseMessage<T>(schema: Schema<T>, body: Uint8Array): T {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch (error) {
    throw new RuntimeError("ENVELOPE_MALFORMED", { reason: (error as Error).message }, { cause: error });
  }
  return checkMessage(schema, json);
}

/** Of a message that somebody else has parsed. Throws ENVELOPE_MALFORMED. */
export function checkMessage<T>(schema: Schema<T>, json: unknown): T {
  const checked = v.safeParse(schema, json);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new RuntimeError("ENVELOPE_MALFORMED", { at: v.getDotPath(issue) ?? "message", reason: issue.message });
}

/**
 * Reads messages from a stream of bytes. The first frame has the smaller bound. Throws what FrameReader and parseMessage
 * throw; such a stream cannot be read further.
 */
export class MessageStream {
  readonly #frames = new FrameReader(FIRST_FRAME_BYTES_MAX);

  push(chunk: Uint8Array): void {
    this.#frames.push(chunk);
  }

  /** The next message, or undefined when what was pushed is used up. */
  poll<T>(schema: Schema<T>): T | undefined {
    const body = this.#frames.pollBody();
    if (body === undefined) return undefined;
    this.#frames.setLimit(FRAME_BYTES_MAX);
    return parseMessage(schema, body);
  }

  /** After a message: the bytes behind it, which are not ours to read. */
  takeRest(): Uint8Array {
    return this.#frames.takeRest();
  }
}
