import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Agent, interceptors, request } from "undici";
import type { Dispatcher, RetryHandler } from "undici";
import { ATTEMPT_CHANNEL, openPeers } from "./mod.ts";
import type { AttemptReport, Peers, PeersOptions } from "./mod.ts";
import { CountedClock } from "./testing/counted-clock.ts";
import { serveBytes, serveHttp } from "./testing/servers.ts";

/** Together with undici's own retry interceptor. */

type RetryOptions = RetryHandler.RetryOptions;
const QUICK: RetryOptions = { minTimeout: 1, maxTimeout: 2000 };

function open(t: TestContext, { peers: options = {}, retry = {}, order = "retry outside" }: { peers?: PeersOptions; retry?: RetryOptions; order?: "retry outside" | "retry inside" }) {
  const peers: Peers = openPeers({ clock: new CountedClock(), cooldownBaseMs: 1, ...options });
  const reports: AttemptReport[] = [];
  const listen = (message: unknown): void => void (peers.keys().includes((message as AttemptReport).peer) && reports.push(message as AttemptReport));
  channel(ATTEMPT_CHANNEL).subscribe(listen);
  const agent = new Agent();
  t.after(async () => {
    channel(ATTEMPT_CHANNEL).unsubscribe(listen);
    await agent.destroy();
  });
  const retries = interceptors.retry({ ...QUICK, ...retry });
  const dispatcher = (order === "retry outside" ? agent.compose(peers.undici({ attemptMs: 150 }), retries) : agent.compose(retries, peers.undici({ attemptMs: 150 }))) as Dispatcher;
  const send = async (url: string, init: { method?: "GET" | "POST" } = {}): Promise<{ status: number; text: string }> => {
    const { statusCode, body } = await request(url, { ...init, dispatcher });
    return { status: statusCode, text: await body.text() };
  };
  return { peers, send, attempts: () => reports.map(({ attempt, outcome }) => `${attempt} ${outcome.kind}`) };
}

const codeOf = async (promise: Promise<unknown>): Promise<string | undefined> => promise.then(() => assert.fail("it succeeded"), (error: { code?: string }) => error.code);

test("undici's retries: each attempt is admitted and judged anew", async (t) => {
  let failures = 0;
  const { origin } = await serveBytes(t, (socket) => (failures-- > 0 ? socket.destroy() : socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")));
  const world = open(t, {});
  failures = 2;
  assert.deepEqual(await world.send(origin), { status: 200, text: "x" });
  assert.deepEqual(world.attempts(), ["1 reset", "2 reset", "3 works"]);
  const { failuresInARow, inFlight } = world.peers.explain(origin);
  assert.deepEqual([failuresInARow, inFlight], [0, 0]);
});

test("undici's retries: a peer that goes down under them is left alone, and the refusal surfaces", async (t) => {
  let asked = 0;
  const { origin } = await serveBytes(t, (socket) => void (asked++, socket.destroy()));
  const { peers, send } = open(t, { peers: { failureThreshold: 2, cooldownBaseMs: 60_000 } });
  assert.equal(await codeOf(send(origin)), "PEER_COOLING_DOWN");
  assert.equal(asked, 2);
  peers.block(origin);
  assert.equal(await codeOf(send(origin)), "PEER_BLOCKED");
  assert.equal(asked, 2, "a refusal is not tried again");
});

test("undici's retries: they are taken from the peer's budget", async (t) => {
  let asked = 0;
  const { origin } = await serveBytes(t, (socket) => void (asked++, socket.destroy()));
  const { send, peers } = open(t, { peers: { failureThreshold: 1000, retryReserve: 3 }, retry: { maxRetries: 100 } });
  assert.equal(await codeOf(send(origin)), "BUDGET_EXHAUSTED");
  assert.equal(asked, 4);
  assert.equal(peers.explain(origin).inFlight, 0);
  assert.equal(await codeOf(send(origin)), "BUDGET_EXHAUSTED");
  assert.equal(asked, 5, "a first attempt costs nothing");
});

test("undici's retries: a deadline of ours is the end", async (t) => {
  let asked = 0;
  const { origin } = await serveBytes(t, () => void asked++);
  for (const order of ["retry outside", "retry inside"] as const) {
    asked = 0;
    const { send, peers } = open(t, { order });
    assert.equal(await codeOf(send(origin)), "DEADLINE_EXCEEDED");
    assert.equal(asked, 1, order);
    assert.equal(peers.explain(origin).inFlight, 0);
  }
});

test("undici's retries: after a Retry-After there is one wait, by whoever waits longer", async (t) => {
  let asked = 0;
  const { origin } = await serveHttp(t, (_request, response) => (++asked % 2 === 1 ? response.writeHead(429, { "retry-after": "1" }).end() : response.end("x")));
  const refused = open(t, {});
  assert.equal(await codeOf(refused.send(origin)), "PEER_ADVISED_TO_WAIT", "undici asks again after a second sharp, when everybody does");
  asked = 0;
  const errorCodes = ["ECONNRESET", "UND_ERR_SOCKET", "PEER_ADVISED_TO_WAIT", "PEER_COOLING_DOWN"];
  const { send, attempts } = open(t, { retry: { errorCodes, minTimeout: 100, maxRetries: 20 } });
  const startedAt = performance.now();
  assert.equal((await send(origin)).text, "x");
  assert.deepEqual(attempts(), ["1 overload", "2 works"]);
  assert.ok(performance.now() - startedAt >= 990);
});

test("undici's retries: within ours, they are one request to the peer", async (t) => {
  let failures = 2;
  const { origin } = await serveBytes(t, (socket) => (failures-- > 0 ? socket.destroy() : socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")));
  const { send, attempts, peers } = open(t, { order: "retry inside" });
  assert.equal((await send(origin)).text, "x");
  assert.deepEqual(attempts(), ["1 works"]);
  assert.equal(peers.explain(origin).failuresInARow, 0);
});

test("undici's retries: a body that breaks off and is taken up again", async (t) => {
  const whole = "0123456789";
  const { origin } = await serveBytes(t, (socket, _request, head) => {
    const from = /range: bytes=(\d+)-/i.exec(head)?.[1];
    if (from === undefined) return void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 10\r\netag: "a"\r\n\r\n${whole.slice(0, 4)}`, () => setTimeout(() => socket.destroy(), 20));
    const rest = whole.slice(Number(from));
    socket.write(`HTTP/1.1 206 Partial\r\netag: "a"\r\ncontent-length: ${rest.length}\r\ncontent-range: bytes ${from}-9/10\r\n\r\n${rest}`);
  });
  const { send, attempts, peers } = open(t, {});
  assert.deepEqual(await send(origin), { status: 200, text: whole });
  assert.deepEqual(attempts(), ["1 works", "2 works"]);
  assert.equal(peers.explain(origin).failuresInARow, 0, "it came whole in the end");
});

test("undici's retries: what is sent once stays so", async (t) => {
  let asked = 0;
  const { origin } = await serveBytes(t, (socket) => void (asked++, socket.destroy()));
  const { send, attempts } = open(t, {});
  assert.equal(await codeOf(send(origin, { method: "POST" })), "UND_ERR_SOCKET");
  assert.equal(asked, 1);
  assert.deepEqual(attempts(), ["1 reset"]);
});
