import { setTimeout as sleep } from "node:timers/promises";
import { RuntimeError } from "@holdfast/core";
import { openControl } from "./node-control.ts";
import type { ControlClient, ControlMethod, ParamsOf, ResultOf } from "@holdfast/host";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

/** How soon a node that does not answer is asked again. */
const RETRY_MS = 50;

/** Asks a node that may die and come back meanwhile: what is asked may be asked twice. */
export class PatientClient implements Disposable {
  readonly #node: NodeRecord;
  #client: ControlClient | undefined;

  constructor(node: NodeRecord) {
    this.#node = node;
  }

  /** Until the node answers, or the signal aborts. Throws ControlError with what the node refuses. */
  async call<Method extends ControlMethod>(method: Method, params: ParamsOf<Method>, signal: AbortSignal): Promise<ResultOf<Method>> {
    for (;;) {
      const answer = await this.tryCall(method, params, signal);
      if (answer !== undefined) return answer;
      await sleep(RETRY_MS, undefined, { signal });
    }
  }

  /** Undefined if the node does not answer now, or not before the signal aborts. */
  async tryCall<Method extends ControlMethod>(method: Method, params: ParamsOf<Method>, signal: AbortSignal): Promise<ResultOf<Method> | undefined> {
    const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
    const abort = () => resolve(undefined);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    try {
      this.#client ??= await openControl(this.#node, { isPatient: true, signal });
      const answer = this.#client.call(method, params);
      answer.catch(() => {}); // It may be refused after the signal.
      return await Promise.race([answer, aborted]);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof RuntimeError) || error.code !== "NODE_UNREACHABLE") throw error;
      this.close();
      return undefined;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
