import { checkMessage } from "../protocol/message-stream.ts";
import { ToBackend } from "../protocol/messages.ts";
import type { ToBroker } from "../protocol/messages.ts";

/** A connection by which a broker, or somebody who claims to be one, has attached itself. */
export interface AttachedLine {
  tell(message: ToBroker): void;
  end(): void;
}

/**
 * A backend's line to its broker: Node's own channel to the process that started it, and every connection by which a later
 * broker has attached itself. What is told goes to all; commands are taken from any.
 */
export class BrokerLine {
  readonly #onQuiesce: (withinMs: number) => void;
  readonly #attached = new Set<AttachedLine>();
  readonly #handleMessage = (message: unknown) => this.handle(message);

  constructor(onQuiesce: (withinMs: number) => void) {
    this.#onQuiesce = onQuiesce;
    process.on("message", this.#handleMessage);
    process.channel?.unref(); // It is the listening socket that keeps this process, not its broker.
  }

  tell(message: ToBroker): void {
    send(message);
    for (const line of this.#attached) line.tell(message);
  }

  handle(message: unknown): void {
    if ((message as { kind?: unknown } | null)?.kind !== "quiesce") return;
    const checked = checkMessage(ToBackend, message);
    if (checked.kind === "quiesce") this.#onQuiesce(checked.withinMs);
  }

  /** Returns the function that takes it away again. */
  attach(line: AttachedLine): () => void {
    this.#attached.add(line);
    return () => this.#attached.delete(line);
  }

  /** A backend that is done is kept running by nobody who looks on. */
  close(): void {
    for (const line of this.#attached) line.end();
    process.off("message", this.#handleMessage);
    if (process.connected) process.disconnect?.();
  }
}

/** To whoever holds the lease of this process's service, before it serves; afterwards `Backend.tell`. JSON. */
export function tellBroker(message: unknown): void {
  send({ kind: "told", message });
}

/** This program cannot serve, and would not if it were started again. End the process then. */
export function tellUnable(code: string, message: string): void {
  send({ kind: "unable", code, message });
}

function send(message: ToBroker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {}); // A broker that ended misses it.
}
