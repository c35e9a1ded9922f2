/** Under npm a Ctrl-C arrives twice, from the terminal and from npm, within a few ms; people take longer. */
const SECOND_MS_MIN = 300;

/** Aborts at the first SIGINT or SIGTERM; calls `onSecond` at a second one. */
export function stopOnSignals(onSecond: () => void): AbortSignal {
  const stop = new AbortController();
  let firstAt: number | undefined;
  const handle = () => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      stop.abort(new Stopped());
    } else if (performance.now() - firstAt >= SECOND_MS_MIN) onSecond();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, handle);
  return stop.signal;
}

/** Somebody asked for the end: no failure. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}
