import { randomBytes } from "node:crypto";
import { RuntimeError } from "@holdfast/core/peer";
import { encodeMessage, MessageStream } from "../protocol/message-stream.ts";
import { AttachProof, ToBackend } from "../protocol/messages.ts";
import { proofOf, proves } from "../runtime/backend-identity.ts";
import type { Socket } from "node:net";
import type { Attach, Attached } from "../protocol/messages.ts";
import type { ServiceKey } from "../runtime/domain-directory.ts";
import type { BrokerLine } from "./broker-line.ts";

/** A broker proves itself at once; whoever does not holds a descriptor no longer than this. */
const PROOF_MS_MAX = 2_000;

export interface AttachedBackend {
  readonly secret: string;
  readonly key: ServiceKey;
  readonly info: unknown;
  readonly isDraining: boolean;
  readonly line: BrokerLine;
}

/**
 * The backend's side of an attached connection: it proves that it is the process of its identity file, has the other side
 * prove that it can read that file, and then takes commands. Both proofs answer a nonce of this connection: one that was
 * overheard is worth nothing on another.
 */
export async function serveAttached(socket: Socket, { nonce }: Attach, { secret, key, info, isDraining, line }: AttachedBackend): Promise<void> {
  const own = randomBytes(32).toString("hex");
  const { service, version, build } = key;
  socket.write(encodeMessage({
    kind: "attached", service, version, build, pid: process.pid, proof: proofOf(secret, "backend", nonce), nonce: own, draining: isDraining, info,
  } satisfies Attached));
  const stream = new MessageStream();
  let proved = false;
  const detach = line.attach({
    tell(message) {
      if (proved) socket.write(encodeMessage(message));
    },
    end: () => socket.destroySoon(),
  });
  const late = setTimeout(() => socket.destroy(), PROOF_MS_MAX);
  socket.once("close", () => {
    clearTimeout(late);
    detach();
  });
  socket.on("end", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    try {
      stream.push(chunk);
      for (;;) {
        if (!proved) {
          const answer = stream.poll(AttachProof);
          if (answer === undefined) return;
          if (!proves(secret, "broker", own, answer.proof)) return void socket.destroy();
          proved = true;
          clearTimeout(late);
        }
        const command = stream.poll(ToBackend);
        if (command === undefined) return;
        line.handle(command);
      }
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      socket.destroy();
    }
  });
}
