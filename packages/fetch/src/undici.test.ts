import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { isPeerError, openPeers } from "./mod.ts";
import type { Peers, UndiciHandler, UndiciInterceptor, UndiciOptions, UndiciRequest } from "./mod.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** The undici that is within Node.js, by the symbol under which its versions find each other. */
function builtIn(): { compose(interceptor: UndiciInterceptor): object } {
  void fetch("data:,").catch(() => {});
  return (globalThis as unknown as Record<symbol, { compose(interceptor: UndiciInterceptor): object }>)[Symbol.for("undici.globalDispatcher.1")] as never;
}

async function serve(t: TestContext, handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function through(peers: Peers, options?: UndiciOptions): (url: string, init?: RequestInit) => Promise<Response> {
  const dispatcher = builtIn().compose(peers.undici(options));
  return (url, init) => fetch(url, { ...init, dispatcher } as RequestInit);
}

const causeOf = async (promise: Promise<unknown>): Promise<Error & { code?: string }> =>
  promise.then(() => assert.fail("it succeeded"), (error: Error) => (error.cause ?? error) as Error);

test("undici: learns, and lets the answer through as it is", async (t) => {
  const origin = await serve(t, (_request, response) => response.end("hello"));
  const peers = openPeers();
  const send = through(peers);
  for (let call = 0; call < 10; call++) assert.equal(await (await send(`${origin}/v1/items/${call}?a=1`)).text(), "hello");
  const { sites, inFlight } = peers.explain(origin);
  assert.equal(inFlight, 0);
  assert.deepEqual(sites.map(({ site, samples }) => [site, samples]), [["GET /v1/items/:id", 10]]);
});

test("undici: a peer that fails is cut off, and advice holds", async (t) => {
  let isUp = false;
  const origin = await serve(t, (request, response) => (isUp ? response.writeHead(429, { "retry-after": "20" }).end() : request.socket.destroy()));
  const peers = openPeers({ cooldownBaseMs: 1 });
  const send = through(peers);
  for (let call = 0; call < 5; call++) assert.notEqual((await causeOf(send(origin))).code, undefined);
  assert.equal(peers.explain(origin).isDown, true);
  const blocked = openPeers({ block: [origin] });
  assert.equal((await causeOf(through(blocked)(origin))).code, "PEER_BLOCKED");
  isUp = true;
  while (peers.explain(origin).cooldownMs > 0) await new Promise(setImmediate);
  assert.equal((await send(origin)).status, 429);
  assert.equal((await causeOf(send(origin))).code, "PEER_ADVISED_TO_WAIT");
});

test("undici: a server that hangs is given up in time; the caller's abort is nobody's fault", async (t) => {
  const origin = await serve(t, () => {});
  const peers = openPeers();
  assert.equal((await causeOf(through(peers, { attemptMs: 20 })(origin))).code, "DEADLINE_EXCEEDED");
  assert.equal(peers.explain(origin).failuresInARow, 1);
  const control = new AbortController();
  const call = through(peers)(origin, { signal: control.signal });
  setImmediate(() => control.abort(new Error("mine")));
  await assert.rejects(call, /mine/);
  const { failuresInARow, inFlight } = peers.explain(origin);
  assert.deepEqual({ failuresInARow, inFlight }, { failuresInARow: 1, inFlight: 0 });
});

test("undici: a body that breaks off is the peer's fault", async (t) => {
  const origin = await serve(t, (request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("begin", () => request.socket.destroy());
  });
  const peers = openPeers({ failureThreshold: 2 });
  for (let call = 0; call < 2; call++) await causeOf((await through(peers)(origin)).text());
  assert.equal(peers.explain(origin).isDown, true);
});

/** A dispatcher that a test drives by hand. */
function driven() {
  const clock = new VirtualClock();
  const peers = openPeers({ clock });
  const errors: Error[] = [];
  let ours: UndiciHandler = {};
  const request: UndiciRequest = { origin: "http://a.example", path: "/", method: "GET" };
  const dispatch = peers.undici({ attemptMs: 100 })((_request: UndiciRequest, handler: UndiciHandler) => {
    ours = handler;
    return true;
  }) as (request: UndiciRequest, handler: UndiciHandler) => boolean;
  const send = (): boolean => dispatch(request, { onResponseError: (_controller, error) => void errors.push(error) });
  return { clock, peers, errors, send, handler: () => ours };
}

test("undici: a request that stood in a queue for all of its time is never sent", async () => {
  const { clock, peers, errors, send, handler } = driven();
  send();
  await clock.advance(100);
  assert.ok(isPeerError(errors[0]) && errors.length === 1);
  const aborts: Error[] = [];
  handler().onRequestStart?.({ abort: (reason) => void aborts.push(reason) }, {});
  handler().onResponseError?.(null, errors[0] as Error);
  assert.deepEqual(aborts, errors);
  assert.equal(peers.explain("http://a.example").failuresInARow, 1);
  assert.equal(clock.timers, 0);
});

test("undici: a handler of its older generation is undici's to refuse, and nobody waits for ever", () => {
  const peers = openPeers();
  peers.block("http://a.example");
  const older = { onConnect() {}, onError() {} } as unknown as UndiciHandler;
  const dispatched: UndiciHandler[] = [];
  const dispatch = peers.undici()((_request: UndiciRequest, handler: UndiciHandler) => dispatched.push(handler) > 0) as (request: UndiciRequest, handler: UndiciHandler) => boolean;
  dispatch({ origin: "http://a.example", path: "/", method: "GET" }, older);
  assert.equal(dispatched[0], older);
  assert.equal(peers.explain("http://a.example").inFlight, 0);
});
