import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeMessage, MessageStream } from "../protocol/message-stream.ts";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { Attached, PROTOCOL, ToBroker } from "../protocol/messages.ts";
import { isRunning, proofOf, proves, removeIdentity } from "../runtime/backend-identity.ts";
import { trySignal } from "../runtime/process-facts.ts";
import { outputSince, outputSize } from "../runtime/output-tail.ts";
import type { Socket } from "node:net";
import type { Attach } from "../protocol/messages.ts";
import type { BackendIdentity } from "../runtime/backend-identity.ts";
import type { DomainDirectory, ServiceKey } from "../runtime/domain-directory.ts";
import type { BackendExit, RunningBackend } from "./running-backend.ts";

/** A backend that is alive answers at once; one that is stopped must not keep a starting broker. */
const ATTACH_MS_MAX = 500;
/** A process whose connection has ended is about to end: it is looked at so often, and so long if nobody told it to end. */
const END_POLL_MS = 20;
const END_MS_MAX = 200;

/** Who is at an endpoint instead of a backend: nobody (any more); somebody who says nothing; somebody who is not who he should be. */
export type NotAttached = "absent" | "silent" | "stranger";

/**
 * A backend that this broker did not start: it outlived the one before, or was started by hand. A connection to its own
 * endpoint serves as the line to it. The backend's end is that of its process: one that drains may still have work to save
 * when its connection has ended.
 */
export class AttachedBackend implements RunningBackend {
  readonly key: ServiceKey;
  readonly endpoint: string;
  readonly pid: number;
  readonly adopted = true;
  readonly channel = undefined;
  readonly info: unknown;
  readonly startedAtMs = performance.now();
  readonly exited: Promise<BackendExit>;
  draining: boolean;
  onAnswer = (): void => {};
  onChannelLost = (): void => {};
  onTold: (message: unknown) => void = () => {};
  readonly #socket: Socket;
  readonly #identity: BackendIdentity;
  readonly #outputFrom: number;

  private constructor(directory: DomainDirectory, identity: BackendIdentity, socket: Socket, { info, draining }: Attached) {
    this.key = { service: identity.service, version: identity.version, build: identity.build };
    this.endpoint = directory.endpoint(identity);
    this.pid = identity.pid;
    this.info = info;
    this.draining = draining;
    this.#socket = socket;
    this.#identity = identity;
    this.#outputFrom = outputSize(directory.output(identity));
    this.exited = new Promise<void>((done) => socket.once("close", done)).then(() => this.#end(directory));
    const stream = new MessageStream();
    socket.on("error", () => {}); // "close" follows.
    socket.on("end", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      try {
        stream.push(chunk);
        for (let message = stream.poll(ToBroker); message !== undefined; message = stream.poll(ToBroker)) {
          if (message.kind === "told") this.onTold(message.message);
        }
      } catch {
        socket.destroy();
      }
    });
  }

  /**
   * Verifies that the process of an identity file is still that process, and that who listens at its endpoint is it: the
   * process's start time and the boot id, the key, and a proof over a nonce that nobody has used before.
   */
  static async attach(directory: DomainDirectory, identity: BackendIdentity): Promise<AttachedBackend | NotAttached> {
    if (!isRunning(identity)) {
      removeIdentity(directory, identity, identity.pid);
      return "absent";
    }
    const nonce = randomBytes(32).toString("hex");
    const socket = connect(directory.endpoint(identity));
    socket.on("error", () => {}); // The first frame's absence tells.
    socket.write(encodeMessage({ kind: "attach", protocol: PROTOCOL, nonce } satisfies Attach));
    const answer = await readFirstFrame(socket, Attached, ATTACH_MS_MAX).catch(() => "nonsense" as const);
    if (typeof answer === "string" || !isProved(identity, nonce, answer)) {
      socket.destroy();
      if (answer === "late") return "silent";
      return answer === "ended" || answer === "failed" ? "absent" : "stranger";
    }
    socket.write(encodeMessage({ kind: "proof", proof: proofOf(identity.secret, "broker", answer.nonce) }));
    return new AttachedBackend(directory, identity, socket, answer);
  }

  quiesce(withinMs: number): void {
    this.draining = true;
    this.#socket.write(encodeMessage({ kind: "quiesce", withinMs }));
  }

  /** Ends the line to it; the backend goes on. */
  release(): void {
    this.#socket.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    if (isRunning(this.#identity)) trySignal(this.pid, signal);
  }

  async #end(directory: DomainDirectory): Promise<BackendExit> {
    let waitedMs = 0;
    for (; isRunning(this.#identity) && (this.draining || waitedMs < END_MS_MAX); waitedMs += END_POLL_MS) await sleep(END_POLL_MS);
    if (!isRunning(this.#identity)) removeIdentity(directory, this.#identity, this.pid);
    return { how: "its connection ended", output: outputSince(directory.output(this.key), this.#outputFrom) };
  }
}

function isProved(identity: BackendIdentity, nonce: string, { service, version, build, pid, proof }: Attached): boolean {
  return pid === identity.pid && service === identity.service && version === identity.version && build === identity.build &&
    proves(identity.secret, "backend", nonce, proof);
}
