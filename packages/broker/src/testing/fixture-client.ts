/** A process of clients, commanded over Node's own channel: see client-process.ts. */
import { connect } from "../client/connect.ts";
import { RefusedError } from "../protocol/refusal.ts";
import { Conversation } from "./conversation.ts";
import type { ConnectOptions } from "../client/connect.ts";
import type { Outcome } from "./client-process.ts";

interface Command {
  readonly id: number;
  readonly count: number;
  readonly options: ConnectOptions;
}

async function visit(options: ConnectOptions): Promise<Outcome> {
  try {
    const { socket, ...connection } = await connect(options);
    using conversation = new Conversation(socket);
    return { ok: true, ...connection, answer: await conversation.ask("hello") };
  } catch (error) {
    const { name, message, code = null, details = {} } = error as Error & { code?: string; details?: Record<string, unknown> };
    return { ok: false, name, code, message, details, retryAfterMs: error instanceof RefusedError ? error.retryAfterMs : null };
  }
}

process.on("message", async ({ id, count, options }: Command) => {
  const outcomes = await Promise.all(Array.from({ length: count }, () => visit(options)));
  process.send?.({ id, outcomes });
});
process.send?.("ready");
