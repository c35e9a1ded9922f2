import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { encodeMessage } from "../protocol/message-stream.ts";
import { PROTOCOL, ServerFirst } from "../protocol/messages.ts";
import { PATIENCE_MS, within } from "./until.ts";
import type { Socket } from "node:net";
import type { Hello } from "../protocol/messages.ts";
import type { NoFrame } from "../protocol/first-frame.ts";

/** A Hello as a client of this process would send it, but for what is given. */
export function helloOf(service: string, given: Partial<Hello> = {}): Uint8Array {
  return encodeMessage({ kind: "hello", protocol: PROTOCOL, service, version: "1.0.0", pid: process.pid, accepts: ["handoff", "redirect"], ...given });
}

/** A client made by hand: it takes one way, and says of itself what it likes. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  /** What answered the Hello, or why nothing did. Whoever broke off: the failure of a socket is one of the answers here. */
  readonly answer: Promise<ServerFirst | NoFrame>;

  constructor(path: string, ...sent: readonly (Uint8Array | string)[]) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on("error", () => {});
    for (const bytes of sent) this.socket.write(bytes);
    this.answer = within("an answer to a Hello", readFirstFrame(this.socket, ServerFirst, PATIENCE_MS));
    this.answer.catch(() => {});
  }

  /** For a client that is to be served. Resolves with the route. */
  async welcome(): Promise<string> {
    const answer = await this.answer;
    if (typeof answer === "string" || answer.kind !== "welcome") throw new Error(`not welcome: ${JSON.stringify(answer)}`);
    return answer.route;
  }

  /** Reason of the redirect that it gets. */
  async redirected(): Promise<string> {
    const answer = await this.answer;
    if (typeof answer === "string" || answer.kind !== "redirect") throw new Error(`not redirected: ${JSON.stringify(answer)}`);
    return answer.reason;
  }

  /** What came behind the first frame. */
  async rest(): Promise<string> {
    return await within("the end of an answer", text(this.socket));
  }

  /** By the other side. */
  async closed(): Promise<void> {
    if (this.socket.readableEnded || this.socket.closed) return;
    await within("the end of a connection", Promise.race([once(this.socket, "close"), once(this.socket.resume(), "end")]));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
