/** How long anything may take that is not itself a promise about time: a busy machine is no failure. */
export const PATIENCE_MS = 20_000;
const POLL_MS = 5;

/** Waits until `condition` gives something other than undefined and false, and returns that. */
export async function until<T>(what: string, condition: () => T | Promise<T>, withinMs = PATIENCE_MS): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

/** Fails if `promise` does not settle in time, so that a test that hangs says where. */
export async function within<T>(what: string, promise: Promise<T>, withinMs = PATIENCE_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not within ${withinMs} ms: ${what}`)), withinMs);
  return await Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}
