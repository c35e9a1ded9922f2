/** Who is told that an attempt ends. */
interface Told {
  abort(reason: unknown): void;
}

/**
 * Ender ends one attempt, and later what follows its answer: by a signal for whoever asks for one, which is a good part
 * of what a call costs, or by a word. It holds on to nothing else: who keeps it for long keeps no answer.
 */
export class Ender {
  #controller: AbortController | undefined;
  #told: Told | undefined;

  /** To be asked for when the attempt begins, or not at all. */
  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  /** Tells this one, too. */
  tell(told: Told): void {
    this.#told = told;
  }

  abort(reason: unknown): void {
    this.#told?.abort(reason);
    this.#controller?.abort(reason);
  }
}
