/**
 * The other process of the call figures: a node that answers `doubled`, and a bare TLS server that answers as many bytes
 * as it was told for as many as it was told. Both have keys of the same kind and speak TLS 1.3.
 * Started with one argument: the node's data directory, or "" for none.
 */
import { createServer } from "node:tls";
import { createNode, temporaryIdentity } from "@holdfast/host";
import { doubled } from "./flows.ts";

/** What the callee tells its parent. */
export interface CalleeReady {
  readonly id: string;
  readonly addresses: readonly string[];
  readonly tlsPort: number;
}

/** First message of a bare connection: how many bytes a question and an answer have. */
export const PLAN_BYTES = 8;

if (process.send !== undefined) await serve(process.argv[2] === "" ? null : process.argv[2]!);

async function serve(dataDir: string | null): Promise<void> {
  const node = await createNode({ name: "callee", dataDir, flows: [doubled] });
  const { keyPem, certificatePem } = temporaryIdentity();
  const server = createServer({ key: keyPem, cert: certificatePem, minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: false, noDelay: true }, (socket) => {
    let question = 0;
    let answer = Buffer.alloc(0);
    let missing = PLAN_BYTES;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      if (question === 0) {
        question = chunk.readUInt32BE(0);
        answer = Buffer.alloc(chunk.readUInt32BE(4));
        missing = question;
        return void socket.write("!"); // the plan is understood
      }
      missing -= chunk.length;
      if (missing > 0) return;
      missing = question;
      socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  process.send!({ id: node.id, addresses: node.addresses, tlsPort: port } satisfies CalleeReady);
  process.once("disconnect", () => process.exit());
}
