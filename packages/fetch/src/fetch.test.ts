import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { channel } from "node:diagnostics_channel";
import { getEventListeners, once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ATTEMPT_CHANNEL, DeadlineExceededError, openPeers } from "./mod.ts";
import type { AttemptReport, PeerExplained, PeersOptions } from "./mod.ts";
import { VirtualClock } from "./virtual-clock.ts";
import { systemClock } from "./clock.ts";

/** A real server, whose handler a test may change. */
async function serve(t: TestContext, handler: RequestListener) {
  const state = { handler, requests: [] as { method: string; url: string; body: string; headers: IncomingMessage["headers"] }[] };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("error", () => {});
    request.on("end", () => {
      state.requests.push({ method: request.method ?? "", url: request.url ?? "", body, headers: request.headers });
      state.handler(request, response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return { state, close, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Wall clock and timers of the machine; a back-off of next to nothing, so that no test waits. */
function open(options: PeersOptions = {}) {
  const kinds: string[] = [];
  const listen = (message: unknown): void => void kinds.push((message as AttemptReport).outcome.kind);
  channel(ATTEMPT_CHANNEL).subscribe(listen);
  const peers = openPeers({ cooldownBaseMs: 1, ...options });
  return { peers, kinds, [Symbol.dispose]: () => void channel(ATTEMPT_CHANNEL).unsubscribe(listen) };
}

const QUICK = { backoffBaseMs: 1 } as const;

test("fetch: an answer as ever, of the same class, with its URL", async (t) => {
  const { origin, state } = await serve(t, (_request, response) => response.end('{"a":1}'));
  const { peers } = open();
  const fetch = peers.fetch();
  const answer = await fetch(new URL("/v1/items/7?x=1", origin));
  assert.ok(answer instanceof Response);
  assert.equal(answer.url, `${origin}/v1/items/7?x=1`);
  assert.equal(answer.bodyUsed, false);
  assert.deepEqual(await answer.json(), { a: 1 });
  assert.equal(answer.bodyUsed, true);
  await assert.rejects(answer.text(), TypeError);
  const twice = await fetch(`${origin}/v1/items/9`);
  void twice.body;
  const copy = twice.clone();
  assert.deepEqual([await twice.text(), await copy.text()], ['{"a":1}', '{"a":1}']);
  assert.equal(await (await fetch("data:,a")).text(), "a");
  assert.deepEqual(peers.keys(), [origin]);
  state.requests.pop();
  assert.equal(await (await fetch(new Request(`${origin}/v1/items/8`, { method: "POST", body: "b" }))).clone().text(), '{"a":1}');
  assert.equal(state.requests[1]?.body, "b");
  const explained = peers.explain(origin);
  assert.deepEqual(explained.sites.map(({ site }) => site), ["GET /v1/items/:id", "POST /v1/items/:id"]);
  assert.equal(explained.failuresInARow, 0, "a body that was read twice is the caller's mistake");
});

test("fetch: statuses are returned, and 404 proves that the peer works", async (t) => {
  const { origin } = await serve(t, (_request, response) => response.writeHead(404).end());
  const { peers } = open();
  for (let call = 0; call < 10; call++) assert.equal((await peers.fetch()(origin)).status, 404);
  assert.equal(peers.explain(origin).failuresInARow, 0);
});

test("fetch: safe methods are repeated, others only with an idempotency key", async (t) => {
  let failures = 0;
  const { origin, state } = await serve(t, (_request, response) => response.writeHead(failures-- > 0 ? 500 : 200).end("done"));
  const { peers } = open({ failureThreshold: 100 });
  const fetch = peers.fetch(QUICK);
  const statusOf = async (init: RequestInit): Promise<number> => {
    failures = 1;
    const answer = await fetch(origin, init);
    await answer.text();
    return answer.status;
  };
  assert.equal(await statusOf({}), 200);
  assert.equal(await statusOf({ method: "POST", body: "b" }), 500);
  failures = 0;
  assert.equal(await statusOf({ method: "POST", body: "b", headers: { "idempotency-key": "1" } }), 200);
  assert.deepEqual(state.requests.slice(-2).map(({ body }) => body), ["b", "b"]);
  assert.equal(await statusOf({ method: "DELETE" }), 500);
  failures = 1;
  assert.equal((await peers.fetch({ ...QUICK, retry: "idempotent-methods" })(origin, { method: "DELETE" })).status, 200);
  failures = 1;
  assert.equal((await peers.fetch({ ...QUICK, retry: "never" })(origin)).status, 500);
  failures = 9;
  assert.equal((await fetch(origin)).status, 500, "the last answer, when all attempts are used up");
});

test("fetch: a slow first answer is beaten by a second request, of which the caller gets the whole body", async (t) => {
  const cut: string[] = [];
  let slow: ServerResponse | undefined;
  const { origin, state } = await serve(t, (request, response) => {
    if (state.requests.length > 1) return response.end("second");
    slow = response;
    request.socket.on("close", () => cut.push("first"));
  });
  using world = open();
  const { peers } = world;
  const answer = await peers.fetch({ hedgeAfterMs: 10, attempts: 2 })(`${origin}/items`);
  assert.equal(await answer.text(), "second");
  while (cut.length === 0) await new Promise(setImmediate);
  assert.deepEqual(world.kinds, ["works", "cancelled"]);
  assert.equal(slow?.destroyed, true);
  const { failuresInARow, inFlight } = peers.explain(origin);
  assert.deepEqual({ failuresInARow, inFlight }, { failuresInARow: 0, inFlight: 0 });
});

test("fetch: of two answers at once one is the caller's, and the body of the other is cancelled", async () => {
  const { peers } = open();
  const cancelled: number[] = [];
  let sent = 0;
  const release: (() => void)[] = [];
  const send = async (): Promise<Response> => {
    const number = ++sent;
    await new Promise<void>((resolve) => {
      release.push(resolve);
      if (number === 2) for (const answer of release) answer();
    });
    return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1)), cancel: () => void cancelled.push(number) }));
  };
  const answer = await peers.fetch({ fetch: send as typeof fetch, hedgeAfterMs: 1, attempts: 2 })("http://a.example");
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  assert.deepEqual(cancelled, [2]);
  await answer.body?.cancel();
  assert.deepEqual(cancelled, [2, 1]);
});

test("fetch: no second request of what may not be sent twice, or flows", async (t) => {
  const held: ServerResponse[] = [];
  // All of them are held until the one that may be repeated is: it was sent last.
  const { origin, state } = await serve(t, (request, response) => {
    held.push(response);
    if (state.requests.filter(({ headers }) => headers["idempotency-key"] === "2").length === 2) for (const one of held) one.end("x");
  });
  const { peers } = open();
  const fetch = peers.fetch({ hedgeAfterMs: 1, attempts: 2 });
  const post = (headers: Record<string, string> = {}): RequestInit => ({ method: "POST", body: "b", headers });
  const flowing = { method: "PUT", body: new Blob(["flows"]).stream(), duplex: "half", headers: { "idempotency-key": "1" } } as RequestInit;
  const never = peers.fetch({ hedgeAfterMs: 1, attempts: 2, retry: "never" })(origin);
  const calls = [never, fetch(origin, post()), fetch(origin, flowing), fetch(origin, post({ "idempotency-key": "2" }))];
  await Promise.all(calls.map(async (call) => (await call).text()));
  assert.deepEqual(state.requests.map(({ method }) => method).sort(), ["GET", "POST", "POST", "POST", "PUT"]);
});

test("fetch: a body that flows is sent once", async (t) => {
  const { origin, state } = await serve(t, (_request, response) => response.writeHead(500).end());
  const { peers } = open();
  const body = new Blob(["flows"]).stream();
  const answer = await peers.fetch(QUICK)(origin, { method: "PUT", body, duplex: "half", headers: { "idempotency-key": "1" } } as RequestInit);
  assert.equal(answer.status, 500);
  const request = new Request(origin, { method: "POST", body: "b", headers: { "idempotency-key": "1" } });
  assert.equal((await peers.fetch(QUICK)(request)).status, 500);
  assert.deepEqual(state.requests.map((one) => one.body), ["flows", "b"]);
});

test("fetch: nobody listens", async (t) => {
  const { origin, close } = await serve(t, (_request, response) => response.end());
  await close();
  using world = open();
  await assert.rejects(world.peers.fetch(QUICK)(origin), TypeError);
  assert.deepEqual(world.kinds, ["refused", "refused", "refused"]);
  assert.equal(world.peers.explain(origin).failuresInARow, 3);
});

test("fetch: connections reset, and TLS where there is none", async (t) => {
  const { origin } = await serve(t, (request) => request.socket.destroy());
  using world = open();
  const fetch = world.peers.fetch({ attempts: 1 });
  await assert.rejects(fetch(origin), TypeError);
  await assert.rejects(fetch(origin.replace("http:", "https:")), TypeError);
  assert.deepEqual(world.kinds, ["reset", "tls"]);
});

test("fetch: a request that cannot be made is no fault of the peer", async (t) => {
  const { origin } = await serve(t, (_request, response) => response.end());
  using world = open();
  await assert.rejects(world.peers.fetch()(origin, { headers: { "a b": "c" } }), TypeError);
  assert.deepEqual(world.kinds, ["local"]);
  await assert.rejects(world.peers.fetch()("no url"), TypeError);
});

test("fetch: a server that hangs is given up in time, and cut off", async (t) => {
  const { origin, state } = await serve(t, () => {});
  const { peers } = open({ cooldownBaseMs: 60_000 });
  const fetch = peers.fetch({ attempts: 1, attemptMs: 20 });
  for (let call = 0; call < 5; call++) await assert.rejects(fetch(origin), DeadlineExceededError);
  const asked = state.requests.length;
  await assert.rejects(fetch(origin), { code: "PEER_COOLING_DOWN" });
  assert.equal(state.requests.length, asked);
  assert.equal(peers.explain(origin).isDown, true);
});

test("fetch: a server that fails and comes back, and a second process that starts with what the first one learned", async (t) => {
  let isUp = true;
  const { origin } = await serve(t, (request, response) => (isUp ? response.end("hello") : request.socket.destroy()));
  const directory = mkdtempSync(join(tmpdir(), "holdfast-fetch-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const state = join(directory, "peers.db");
  const { peers } = open({ state });
  const fetch = peers.fetch({ ...QUICK, attempts: 1 });
  for (let call = 0; call < 50; call++) await (await fetch(`${origin}/v1/items/${call}`)).text();
  isUp = false;
  for (let call = 0; call < 5; call++) await assert.rejects(fetch(origin));
  assert.equal(peers.explain(origin).isDown, true);
  isUp = true;
  assert.equal(await (await peers.fetch({ whenHeld: "wait" })(origin)).text(), "hello");
  assert.equal(peers.explain(origin).isDown, false);
  await peers[Symbol.asyncDispose]();
  const script = `import { openPeers } from "@holdfast/fetch";
    console.log(JSON.stringify(openPeers({ state: ${JSON.stringify(state)} }).explain(${JSON.stringify(origin)})));`;
  const child = spawnSync(process.execPath, ["--conditions=holdfast-source", "--input-type=module", "--eval", script], { cwd: import.meta.dirname, encoding: "utf8" });
  const known = JSON.parse(child.stdout) as PeerExplained;
  assert.equal(known.isDown, false);
  assert.equal(known.state, "half-open", "it works again, and has not yet shown it often");
  const site = known.sites.find(({ site: name }) => name === "GET /v1/items/:id");
  assert.ok((site?.samples ?? 0) >= 10 && site?.tier === "site" && site.deadlineMs < 5000, JSON.stringify(site));
});

test("fetch: 429 with Retry-After holds every caller back, whatever it says", async (t) => {
  let advice = "2";
  const { origin, state } = await serve(t, (_request, response) => response.writeHead(429, { "retry-after": advice }).end());
  const heldMs = async (text: string): Promise<number> => {
    advice = text;
    const { peers } = open();
    const before = state.requests.length;
    assert.equal((await peers.fetch({ ...QUICK, backoffMaxMs: 1000 })(origin)).status, 429, "longer than it may wait: the answer as it is");
    assert.equal(state.requests.length, before + 1, text);
    const { retryAfterMs } = peers.explain(origin);
    if (retryAfterMs > 0) await assert.rejects(peers.fetch()(origin, { method: "POST" }), { code: "PEER_ADVISED_TO_WAIT" });
    return retryAfterMs;
  };
  const two = await heldMs("2");
  assert.ok(two > 1000 && two <= 3000, `${two}`);
  const date = await heldMs(new Date(Date.now() + 20_000).toUTCString());
  assert.ok(date > 15_000 && date <= 30_000, `${date}`);
  for (const text of [String(365 * 24 * 3600), "1000000000000"]) assert.ok(await heldMs(text) <= 90_000);
  assert.equal(await heldMs("-5"), 0, "never this request: no cooldown, and no other attempt");
  advice = "garbage";
  const { peers } = open();
  state.requests.length = 0;
  assert.equal((await peers.fetch(QUICK)(origin)).status, 429);
  assert.equal(state.requests.length, 3, "no advice: it is tried again");
  assert.equal(peers.explain(origin).isDown, false);
});

test("fetch: a quota that is used up is advice", async (t) => {
  let headers: Record<string, string> = {};
  const { origin } = await serve(t, (_request, response) => response.writeHead(200, headers).end("ok"));
  const cases: [Record<string, string>, boolean][] = [
    [{ "ratelimit-remaining": "0", "ratelimit-reset": "30" }, true], [{ "ratelimit": '"default";r=0;t=30' }, true],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(Math.floor(Date.now() / 1000) + 30) }, true],
    [{ "ratelimit-remaining": "5", "ratelimit-reset": "30" }, false], [{ "ratelimit-remaining": "0" }, false], [{ "ratelimit-reset": "30" }, false],
  ];
  for (const [given, isHeld] of cases) {
    headers = given;
    const { peers } = open();
    assert.equal((await peers.fetch()(origin)).status, 200);
    const { advisedMs } = peers.explain(origin);
    assert.equal(advisedMs > 25_000 && advisedMs <= 45_000, isHeld, JSON.stringify(given));
  }
});

test("fetch: a body that breaks off is the peer's fault, and a peer whose bodies break goes down", async (t) => {
  let isBroken = true;
  let finish = (): void => {};
  const { origin } = await serve(t, (request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    if (isBroken) response.write("begin", () => request.socket.destroy());
    else response.write("x".repeat(500));
    finish = () => void response.end("x".repeat(500));
  });
  const { peers } = open();
  const fetch = peers.fetch({ ...QUICK, attempts: 1 });
  for (let call = 0; call < 5; call++) {
    const answer = await fetch(origin);
    assert.equal(answer.status, 200);
    if (call % 2 === 0) await assert.rejects(answer.text(), TypeError);
    else await assert.rejects(async () => {
      for await (const chunk of answer.body ?? []) void chunk;
    });
  }
  assert.equal(peers.explain(origin).isDown, true);
  isBroken = false;
  const again = await peers.fetch({ whenHeld: "wait" })(origin);
  assert.equal(peers.explain(origin).isDown, true, "headers prove nothing now");
  finish();
  assert.equal((await again.text()).length, 1000);
  assert.equal(peers.explain(origin).isDown, false);
});

test("fetch: an answer that is no JSON arrived all the same", async (t) => {
  const { origin } = await serve(t, (_request, response) => response.end("{broken"));
  const { peers } = open();
  for (let call = 0; call < 6; call++) await assert.rejects(async () => (await peers.fetch()(origin)).json(), SyntaxError);
  assert.equal(peers.explain(origin).failuresInARow, 0);
});

test("fetch: a silence within the body ends it, a slow one does not", async (t) => {
  let isSilent = false;
  const { origin } = await serve(t, (_request, response) => {
    response.write("a");
    if (!isSilent) setImmediate(() => response.end("b"));
  });
  const { peers } = open();
  const fetch = peers.fetch({ attempts: 1, bodyIdleMs: 30 });
  assert.equal(await (await fetch(origin)).text(), "ab");
  isSilent = true;
  await assert.rejects(async () => (await fetch(origin)).text(), { code: "DEADLINE_EXCEEDED", deadline: "body-idle" });
  assert.equal(peers.explain(origin).failuresInARow, 1);
});

test("fetch: totalMs bounds the body, too", async (t) => {
  const { origin } = await serve(t, (_request, response) => void response.write("a"));
  const { peers } = open();
  const answer = await peers.fetch({ attempts: 1, totalMs: 50 })(origin);
  await assert.rejects(answer.text(), { code: "DEADLINE_EXCEEDED", deadline: "total" });
});

test("fetch: bodies flow as fast as they are read", async (t) => {
  let written = 0;
  const { origin } = await serve(t, (_request, response) => {
    const chunk = Buffer.alloc(1 << 16);
    const pump = (): void => {
      while (written < 64 << 20 && !response.destroyed) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once("drain", pump);
      }
      response.end();
    };
    pump();
  });
  const { peers } = open();
  const answer = await peers.fetch()(origin);
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.ok(written < 32 << 20, `${written} bytes were sent to a reader that wants none`);
  await reader.cancel();
  assert.equal(peers.explain(origin).failuresInARow, 0, "who wants no more blames nobody");
});

test("fetch: the caller's signal ends request and body with its reason, and keeps nothing", async (t) => {
  const { origin } = await serve(t, (request, response) => void (request.url === "/body" ? response.write("a") : undefined));
  const { peers } = open();
  const fetch = peers.fetch();
  const reason = new Error("mine");
  const before = new AbortController();
  const call = fetch(origin, { signal: before.signal });
  setImmediate(() => before.abort(reason));
  await assert.rejects(call, reason);
  const during = new AbortController();
  const answer = await fetch(`${origin}/body`, { signal: during.signal });
  const text = answer.text();
  during.abort(reason);
  await assert.rejects(text, reason);
  await assert.rejects(fetch(origin, { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(getEventListeners(before.signal, "abort").length + getEventListeners(during.signal, "abort").length, 0);
  const { failuresInARow, inFlight } = peers.explain(origin);
  assert.deepEqual({ failuresInARow, inFlight }, { failuresInARow: 0, inFlight: 0 });
});

test("fetch: one signal for a thousand calls holds no listener when they are over", async (t) => {
  const { origin } = await serve(t, (_request, response) => response.end("x"));
  const { peers } = open();
  const fetch = peers.fetch();
  const { signal } = new AbortController();
  for (let batch = 0; batch < 20; batch++) await Promise.all(Array.from({ length: 50 }, async () => (await fetch(origin, { signal })).text()));
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("fetch: peers and sites as the user says, and a deadline for the server to see", async (t) => {
  const { origin, state } = await serve(t, (_request, response) => response.end("x"));
  const { peers } = open();
  const fetch = peers.fetch({ peer: () => "items", routes: ["/shops/:shop/*"], deadlineHeader: "x-timeout-ms", attemptMs: 700 });
  await (await fetch(`${origin}/shops/paris/a/b`, { headers: { mine: "1" } })).text();
  assert.deepEqual(peers.keys(), ["items"]);
  assert.deepEqual(peers.explain("items").sites.map(({ site }) => site), ["GET /shops/:shop/*"]);
  assert.equal(state.requests[0]?.headers["x-timeout-ms"], "700");
  assert.equal(state.requests[0]?.headers["mine"], "1");
});

test("fetch: a further attempt is told what is left of the whole", async () => {
  const clock = new VirtualClock();
  await using peers = openPeers({ clock });
  const told: number[] = [];
  const send: typeof globalThis.fetch = async (_input, init) => {
    told.push(Number(new Headers(init?.headers).get("x-timeout-ms")));
    return new Response(null, { status: 500 });
  };
  const fetch = peers.fetch({ fetch: send, deadlineHeader: "x-timeout-ms", deadline: "none", totalMs: 1000, attempts: 2, backoffBaseMs: 100 });
  const answered = fetch("http://items.example/");
  await clock.advance(100);
  assert.equal((await answered).status, 500);
  const [first, second = 0] = told;
  assert.equal(first, 1000);
  assert.ok(second < 1000 && second >= 900, `${second} ms are left`);
});

test("fetch: another fetch sends, and its errors are told by their codes", async () => {
  const clock = new VirtualClock();
  const { peers } = open({ clock: { ...systemClock, nowMs: () => clock.nowMs() } });
  const codes = ["ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT", "CERT_HAS_EXPIRED", "EMFILE"];
  using world = open();
  const send = async (): Promise<Response> => {
    throw new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: codes.shift() }) });
  };
  while (codes.length > 0) await assert.rejects(peers.fetch({ fetch: send as typeof fetch, attempts: 1 })("http://a.example"));
  assert.deepEqual(world.kinds, ["dns", "local", "timed-out", "tls", "local"]);
});

test("fetch: where errors have no cause, as in browsers, a request that can be made is the peer's failure, and no other", async () => {
  using world = open({ failureThreshold: 100 });
  const send = (async (input: Request | string) => {
    // What is sent is read.
    if (typeof input === "object") await input.text();
    throw new TypeError("Failed to fetch");
  }) as typeof fetch;
  const fetchOnce = world.peers.fetch({ ...QUICK, fetch: send, attempts: 1 });
  const URL_A = "http://a.example/";
  await assert.rejects(world.peers.fetch({ ...QUICK, fetch: send })(URL_A), /Failed to fetch/);
  assert.deepEqual(world.kinds.splice(0), ["failed", "failed", "failed"], "and is tried again");

  const stream = new ReadableStream();
  stream.getReader();
  const used = new Request(URL_A, { method: "POST", body: "x" });
  for (const [input, init] of [
    [URL_A, { method: "POST", body: "x", headers: { a: "b" } }], [URL_A, { method: "POST", body: stream, duplex: "half" }],
    [used, { headers: { a: "b" } }], [new Request(URL_A, { method: "POST" }), { body: "x" }], [URL_A, { signal: AbortSignal.timeout(60_000) }],
  ] as [string | Request, RequestInit][]) await assert.rejects(fetchOnce(input, init));
  assert.deepEqual(world.kinds.splice(0), ["failed", "failed", "failed", "failed", "failed"]);

  for (const init of [{ headers: { "a b": "c" } }, { method: "A B" }, { body: "a GET has none" }, { redirect: "sideways" as "error" }]) await assert.rejects(fetchOnce("http://b.example/", init));
  assert.deepEqual(world.kinds, ["local", "local", "local", "local"]);
});

test("fetch: where a network's failure is a bare TypeError, it is told from a request that cannot be made", async () => {
  using world = open();
  const send = async (input: string, init: RequestInit): Promise<Response> => {
    void new Request(input, init);
    throw new TypeError("Failed to fetch");
  };
  const fetch = world.peers.fetch({ fetch: send as typeof globalThis.fetch, attempts: 1 });
  await assert.rejects(fetch("http://a.example/"), TypeError);
  await assert.rejects(fetch("http://a.example/", { method: "POST", body: "b" }), TypeError);
  await assert.rejects(fetch("http://a.example/", { method: "HEAD", ...{ body: "b" } }), TypeError);
  await assert.rejects(fetch("http://a.example/", { headers: { "a b": "c" } }), TypeError);
  assert.deepEqual(world.kinds, ["failed", "failed", "local", "local"]);
});

test("fetch: a request's body that throws is no fault of the peer", async (t) => {
  const { origin } = await serve(t, (_request, response) => response.end());
  using world = open();
  const body = new ReadableStream({ pull: (controller) => controller.error(new Error("mine")) });
  await assert.rejects(world.peers.fetch()(origin, { method: "POST", body, duplex: "half" } as RequestInit), TypeError);
  assert.deepEqual(world.kinds, ["local"]);
});
