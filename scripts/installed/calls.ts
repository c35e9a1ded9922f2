/** What `@holdfast/fetch` promises of calls on every platform: nothing here is Node.js's. */
import { AdvisedToWaitError, CoolingDownError, DeadlineExceededError, openPeers, PeerBlockedError } from "@holdfast/fetch";
import { observePeers } from "@holdfast/fetch/prometheus";
import { VirtualClock } from "@holdfast/fetch/testing";

export function check(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Error(`not so: ${what}`);
}

export async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => new Error("it succeeded"), (error: unknown) => error);
}

/** Against a server of `startServer`. Throws what is not as promised. */
export async function checkCalls(origin: string): Promise<void> {
  await checkRecovery(origin);
  await checkOutage(origin);
  await checkAdvice(origin);
  await checkFaults(origin);
  await checkDeadlines();
}

/** In the platform's own time. */
async function checkRecovery(origin: string): Promise<void> {
  await using peers = openPeers();
  const fetch = peers.fetch({ backoffBaseMs: 1 });
  const response = await fetch(`${origin}/answers/500,reset,200/recovery`);
  check(response.status === 200 && await response.text() === "status 200", "a request is repeated until it works");
  const { failuresInARow, state, srttMs } = peers.explain(origin);
  check(failuresInARow === 0 && state === "open" && (srttMs ?? 0) > 0, "and the peer is known for it");
}

async function checkOutage(origin: string): Promise<void> {
  const clock = new VirtualClock();
  await using peers = openPeers({ clock, deadlineInitialMs: 60_000 });
  const seen: string[] = [];
  for (const kind of ["down", "up"] as const) peers.addEventListener(kind, ({ peer }) => seen.push(`${kind} ${peer}`));
  const fetch = peers.fetch({ retry: "never" });
  for (let failure = 1; failure <= 5; failure++) await (await fetch(`${origin}/answers/500/outage`)).text();
  const refusal = await errorOf(fetch(`${origin}/answers/200/outage`));
  check(refusal instanceof CoolingDownError && (refusal.retryAfterMs ?? 0) > 0, "a peer that fails is left alone");
  check(observePeers(peers).text().includes(`holdfast_peer_down{peer="${origin}"} 1`), "which shows in its metrics");
  await clock.advance(600_000);
  check((await fetch(`${origin}/answers/200/outage`)).status === 200, "and is tried after its cooldown");
  check(seen.join() === `down ${origin},up ${origin}`, "events tell of both");
  peers.block(origin, { reason: "enough" });
  check(await errorOf(fetch(`${origin}/answers/200/outage`)) instanceof PeerBlockedError, "a block holds");
}

async function checkAdvice(origin: string): Promise<void> {
  const clock = new VirtualClock();
  await using peers = openPeers({ clock });
  const fetch = peers.fetch();
  check((await fetch(`${origin}/answers/429-30/advice`)).status === 429, "advice that is longer than anyone waits ends the call");
  const refusal = await errorOf(fetch(`${origin}/answers/200/advice`));
  check(refusal instanceof AdvisedToWaitError && refusal.retryAfterMs! >= 30_000 && refusal.retryAfterMs! <= 45_000, "and holds for the next");
  await clock.advance(45_000);
  check((await fetch(`${origin}/answers/200/advice`)).status === 200, "until it is over");
}

/** Whose fault something was, by how this platform's own fetch tells of it. */
async function checkFaults(origin: string): Promise<void> {
  const clock = new VirtualClock();
  await using peers = openPeers({ clock, deadlineInitialMs: 60_000 });
  const fetch = peers.fetch({ retry: "never" });
  const failures = (): number => peers.explain(origin).failuresInARow;

  check(await errorOf(fetch(`${origin}/answers/200/bad`, { headers: { "a b": "c" } })) instanceof TypeError && failures() === 0, "a request that cannot be made is nobody's fault");
  const mine = new Error("mine");
  check(await errorOf(fetch(`${origin}/answers/200/abort`, { signal: AbortSignal.abort(mine) })) === mine && failures() === 0, "nor is the caller's abort");
  check(await errorOf(fetch(`${origin}/answers/reset/reset`)) instanceof TypeError && failures() === 1, "a reset is the peer's");
  const torn = await fetch(`${origin}/answers/torn/torn`);
  check(torn.status === 200 && await errorOf(torn.text()) instanceof TypeError && failures() >= 1, "and so is a body that breaks off");
  check(peers.explain(origin).inFlight === 0, "and all of them are over");
}

async function checkDeadlines(): Promise<void> {
  const clock = new VirtualClock();
  await using peers = openPeers({ clock });
  for (let call = 0; call < 50; call++) {
    const done = peers.run("api", () => clock.sleep(400));
    await clock.advance(400);
    await done;
  }
  const { deadlineMs } = peers.explain("api");
  check(deadlineMs > 400 && deadlineMs < 1000, `deadlines are learned (${deadlineMs} ms)`);
  const late = errorOf(peers.run("api", (signal) => clock.sleep(3_600_000, signal)));
  await clock.advance(deadlineMs + 1);
  const error = await late;
  check(error instanceof DeadlineExceededError && error.deadline === "learned", "and end calls");
  const permit = peers.acquire("api");
  permit.success(400);
  check(clock.timers === 0, "no timer is left");
}
