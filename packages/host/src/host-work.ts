import { checkValue, type CommandId, type Definitions, type Effect, type EngineEvent, type HostDefinition, NS_PER_MS, RuntimeError, type Value } from "@holdfast/core";

type StartHost = Extract<Effect, { kind: "start-host" }>;

/** Why a signal fires: whatever the work makes of it, the operation failed for its deadline. */
class DeadlinePassed extends Error {
  override readonly name = "DeadlinePassed";
}

/** Timers of Node.js hold at most this; a later deadline is the engine's to enforce. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/**
 * Runs host operations: asynchronous work outside the engine, each with an AbortSignal that fires at its deadline, at
 * cancellation and at shutdown. What it returns or throws goes back as an event; what comes too late is ignored there.
 */
export class HostWork {
  readonly #definitions: Definitions;
  readonly #report: (event: EngineEvent) => void;
  readonly #running = new Map<CommandId, AbortController>();

  constructor(definitions: Definitions, report: (event: EngineEvent) => void) {
    this.#definitions = definitions;
    this.#report = report;
  }

  start(effect: StartHost): void {
    const definition = this.#definitions.host.get(effect.fn);
    if (definition === undefined) return; // parked: its definition is missing
    const controller = new AbortController();
    this.#running.set(effect.command, controller);
    const timer = deadlineTimer(effect.remainingNs, controller);
    void this.#run(definition, effect, controller.signal).then((event) => {
      clearTimeout(timer);
      if (this.#running.get(effect.command) !== controller) return; // aborted: nobody waits for it
      this.#running.delete(effect.command);
      this.#report(event);
    });
  }

  abort(command: CommandId, reason: string): void {
    this.#running.get(command)?.abort(new Error(`the operation was aborted: ${reason}`));
    this.#running.delete(command);
  }

  abortAll(reason: string): void {
    for (const command of [...this.#running.keys()]) this.abort(command, reason);
  }

  async #run(definition: HostDefinition, effect: StartHost, signal: AbortSignal): Promise<EngineEvent> {
    const { command } = effect;
    try {
      const context = { signal, key: effect.key, attempt: effect.attempt };
      const value = await this.#outcome(definition, effect, context);
      checkValue(value ?? null);
      return { kind: "host-completed", command, value: (value ?? null) as Value };
    } catch (error) {
      if (signal.aborted && signal.reason instanceof DeadlinePassed) {
        return { kind: "host-failed", command, code: "DEADLINE", message: `${definition.name}: ${signal.reason.message}`, details: null };
      }
      return failed(command, definition, error);
    }
  }

  /** For work that must be asked about first, asks; otherwise runs it. */
  async #outcome(definition: HostDefinition, effect: StartHost, context: object): Promise<unknown> {
    const run = definition.fn as (input: Value, context: object) => unknown;
    if (effect.probe && definition.probe !== null) {
      const probe = definition.probe as (key: string, context: object) => unknown;
      const found = (await probe(effect.key, context)) as { done: boolean; value?: unknown };
      if (found.done) return found.value;
    }
    // A copy: what the function does to its input must not reach the slot that it came from.
    return run(structuredClone(effect.input.value), context);
  }
}

function failed(command: CommandId, definition: HostDefinition, error: unknown): EngineEvent {
  const { code, message, details } = (error ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  const unsendable = error instanceof RuntimeError ? error.code : undefined;
  return {
    kind: "host-failed", command,
    code: unsendable ?? (typeof code === "string" && code !== "" ? code : "HOST_THREW"),
    message: `${definition.name}: ${String(message ?? error).slice(0, 4096)}`,
    details: plain(details),
  };
}

/** Details that cannot travel are left out: the failure itself must always arrive. */
function plain(details: unknown): Value {
  try {
    checkValue(details ?? null);
    return (details ?? null) as Value;
  } catch {
    return null;
  }
}

function deadlineTimer(remainingNs: number | "never", controller: AbortController): NodeJS.Timeout | undefined {
  if (remainingNs === "never" || remainingNs / NS_PER_MS > TIMEOUT_MS_MAX) return undefined;
  const onDeadline = () => controller.abort(new DeadlinePassed("the operation's deadline passed"));
  return setTimeout(onDeadline, Math.ceil(remainingNs / NS_PER_MS)).unref();
}
