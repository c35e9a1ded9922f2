/**
 * A program that calls a remote fifty times a second: `node client.ts URL STATE SECONDS`. It says what it knew of the
 * remote when it started, each change, and in the end what became of its calls.
 */
import { isPeerError, openPeers } from "@holdfast/fetch";

const EVERY_MS = 20;
const KINDS = ["down", "up", "cooling-down", "advised"] as const;

const [url = "", state = "", seconds = "10"] = process.argv.slice(2);
await using peers = openPeers({ state, deadlineInitialMs: 2000 });
const fetch = peers.fetch({ retry: "safe-methods" });
const { origin } = new URL(url);
const startedAt = performance.now();
const say = (text: string): void => void process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
const knowledge = (): string => {
  const { why, srttMs, deadlineMs } = peers.explain(origin);
  return `${why}; ${srttMs === undefined ? "no round trip is known" : `a round trip takes ${srttMs.toFixed(0)} ms`}, the deadline is ${deadlineMs.toFixed(0)} ms`;
};

// It ends with whoever started it, however that ended.
process.stdin.resume().on("end", () => process.exit()).unref();

say(`known at the start: ${knowledge()}`);
for (const kind of KINDS) {
  peers.addEventListener(kind, ({ reason, retryAfterMs }) => say(`${kind} (${reason})${retryAfterMs > 0 ? `, for ${Math.ceil(retryAfterMs)} ms` : ""}`));
}

const outcomes = new Map<string, number>();
const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);

async function call(): Promise<void> {
  try {
    const { ok, status } = await fetch(url);
    count(ok ? "answered" : `status ${status}`);
  } catch (error) {
    count(isPeerError(error) ? error.code : "failed");
  }
}

const calls: Promise<void>[] = [];
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    calls.push(call());
    if (performance.now() - startedAt < Number(seconds) * 1000) return;
    clearInterval(timer);
    resolve();
  }, EVERY_MS);
});
await Promise.all(calls);
say(`known in the end: ${knowledge()}`);
say([...outcomes].map(([outcome, times]) => `${outcome} ${times}`).join(", "));
