import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { getEventListeners } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { Agent } from "undici";
import { ATTEMPT_CHANNEL, isPeerError, openPeers } from "./mod.ts";
import type { AttemptReport, OutcomeKind, Peers, PeersOptions } from "./mod.ts";
import { CountedClock } from "./testing/counted-clock.ts";
import { serveBytes, serveHttp, serveHttp2, serveTls, untrusted } from "./testing/servers.ts";
import { WAYS } from "./testing/ways.ts";
import type { AgentOptions, Sender, WayOptions } from "./testing/ways.ts";

/** What each way of sending makes of what servers do. */

interface Bench {
  readonly peers: Peers;
  readonly sender: Sender;
  /** How the attempts went, in order. */
  readonly kinds: OutcomeKind[];
  readonly clock: CountedClock;
}

/** Runs a test in each way, and sees to it that nothing is left of it. */
function inEachWay(name: string, run: (t: TestContext, bench: Bench) => Promise<void>, { way = /./, peers: given = {}, options = {}, agent }: {
  way?: RegExp; peers?: PeersOptions; options?: WayOptions; agent?: AgentOptions;
} = {}): void {
  for (const [how, make] of Object.entries(WAYS).filter(([key]) => way.test(key))) {
    test(`${name}: ${how}`, async (t) => {
      const clock = new CountedClock();
      const peers = openPeers({ clock, cooldownBaseMs: 1, ...given });
      const kinds: OutcomeKind[] = [];
      const listen = (message: unknown): void => {
        const { peer, outcome } = message as AttemptReport;
        if (peers.keys().includes(peer)) kinds.push(outcome.kind);
      };
      channel(ATTEMPT_CHANNEL).subscribe(listen);
      const sender = make(peers, { attempts: 1, backoffBaseMs: 1, ...options }, agent);
      t.after(async () => {
        channel(ATTEMPT_CHANNEL).unsubscribe(listen);
        await sender.close();
      });
      await run(t, { peers, sender, kinds, clock });
      // The timer of all alarms is looked at once a turn.
      await new Promise(setImmediate);
      assert.equal(clock.timers, 0, "no timer is left");
      for (const key of peers.keys()) assert.equal(peers.explain(key).inFlight, 0, "nothing is under way");
    });
  }
}

const FETCHES = Object.entries(WAYS).filter(([key]) => key.includes("fetch"));
const failed = async (promise: Promise<unknown>): Promise<Error & { code?: string }> => promise.then(() => assert.fail("it succeeded"), (error: Error) => error);
const failuresOf = ({ peers }: Bench, origin: string): number => peers.explain(origin).failuresInARow;

interface Case {
  readonly name: string;
  readonly answer: (socket: Socket, request: number) => void;
  readonly init?: { method: string; body?: string };
  readonly status?: number;
  /** Undefined: it breaks off. */
  readonly text?: string;
  readonly kinds: readonly OutcomeKind[];
  readonly failures: number;
}

const OK = "HTTP/1.1 200 OK\r\n";

/** Bytes on the wire, and what they mean of the peer. Without a status the call itself fails. */
const CASES: readonly Case[] = [
  { name: "nothing but the end", answer: (socket) => socket.end(), kinds: ["reset"], failures: 1 },
  { name: "a reset in the middle of the headers", answer: (socket) => socket.write(`${OK}content-le`, () => socket.resetAndDestroy()), kinds: ["reset"], failures: 1 },
  { name: "what is no HTTP", answer: (socket) => socket.end("220 mail.example ESMTP\r\n\r\n"), kinds: ["failed"], failures: 1 },
  {
    name: "a reset in the middle of the body", status: 200, kinds: ["works"], failures: 1,
    answer: (socket) => socket.write(`${OK}content-length: 100\r\n\r\nbegin`, () => socket.resetAndDestroy()),
  },
  { name: "a content-length longer than what comes", status: 200, kinds: ["works"], failures: 1, answer: (socket) => socket.end(`${OK}content-length: 100\r\n\r\nshort`) },
  { name: "chunks that end too soon", status: 200, kinds: ["works"], failures: 1, answer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n`) },
  {
    name: "chunks that are none", status: 200, kinds: ["works"], failures: 1,
    // The violation comes after the headers were read: together they are an error of the whole.
    answer: (socket) => socket.write(`${OK}transfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n`, () => setTimeout(() => socket.end("not hex\r\n"), 5)),
  },
  { name: "a whole answer in two parts", status: 200, text: "hello", kinds: ["works"], failures: 0, answer: (socket) => socket.write(`${OK}content-length: 5\r\n\r\nhe`, () => socket.write("llo")) },
  { name: "1xx before the answer", status: 200, text: "x", kinds: ["works"], failures: 0, answer: (socket) => socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}content-length: 1\r\n\r\nx`) },
  { name: "204", status: 204, text: "", kinds: ["works"], failures: 0, answer: (socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n") },
  { name: "304", status: 304, text: "", kinds: ["works"], failures: 0, answer: (socket) => socket.write("HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n") },
  { name: "HEAD", init: { method: "HEAD" }, status: 200, text: "", kinds: ["works"], failures: 0, answer: (socket) => socket.write(`${OK}content-length: 100\r\n\r\n`) },
  {
    name: "an answer before the request's body was read", init: { method: "POST", body: "x".repeat(1 << 20) }, status: 413, text: "", kinds: ["works"], failures: 0,
    answer: (socket) => socket.pause().write("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
  },
  { name: "501, which no further attempt changes", status: 501, text: "", kinds: ["server-error"], failures: 1, answer: (socket) => socket.write("HTTP/1.1 501 No\r\ncontent-length: 0\r\n\r\n") },
  { name: "404", status: 404, text: "", kinds: ["works"], failures: 0, answer: (socket) => socket.write("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n") },
];

for (const { name, answer, init, status, text, kinds, failures } of CASES) {
  inEachWay(`wire: ${name}`, async (t, bench) => {
    const { origin } = await serveBytes(t, (socket, request) => answer(socket, request));
    // Twice: the first call is sent in another way than the second, where there are two.
    for (const already of [0, 1]) {
      const call = bench.sender.send(`${origin}/a`, init);
      if (status === undefined) await failed(call);
      else {
        const response = await call;
        assert.equal(response.status, status);
        if (text === undefined) await failed(response.text());
        else assert.equal(await response.text(), text);
      }
      // Headers prove that it works until a body broke off.
      assert.equal(failuresOf(bench, origin), failures * (1 + already));
    }
    assert.deepEqual(bench.kinds, [...kinds, ...kinds]);
  });
}

inEachWay("wire: nobody listens", async (t, bench) => {
  const { origin, close } = await serveHttp(t, () => {});
  await close();
  await failed(bench.sender.send(origin));
  assert.deepEqual(bench.kinds, ["refused"]);
});

const unknownName: AgentOptions = {
  connect: { lookup: (name, _options, done) => done(Object.assign(new Error(`no such name: ${name}`), { code: "ENOTFOUND", syscall: "getaddrinfo" }), "", 4) },
};
inEachWay("wire: a name that has no address", async (_t, bench) => {
  await failed(bench.sender.send("http://nobody.invalid/"));
  assert.deepEqual(bench.kinds, ["dns"]);
}, { agent: unknownName });

inEachWay("wire: a certificate that nobody trusts", async (t, bench) => {
  const { origin } = await serveTls(t, untrusted(), (_request, response) => response.end());
  await failed(bench.sender.send(origin));
  assert.deepEqual(bench.kinds, ["tls"]);
  assert.equal(failuresOf(bench, origin), 1);
});

const identity = untrusted();
const trusting = { connect: { ca: identity.cert, servername: "holdfast", checkServerIdentity: () => undefined } } as const;

inEachWay("wire: TLS", async (t, bench) => {
  const { origin } = await serveTls(t, identity, (_request, response) => response.end("secret"));
  for (let call = 0; call < 2; call++) assert.equal(await (await bench.sender.send(origin)).text(), "secret");
  assert.deepEqual(bench.kinds, ["works", "works"]);
}, { agent: trusting });

inEachWay("wire: TLS of another name", async (t, bench) => {
  const { origin } = await serveTls(t, identity, (_request, response) => response.end("secret"));
  await failed(bench.sender.send(origin));
  assert.deepEqual(bench.kinds, ["tls"]);
}, { agent: { connect: { ca: identity.cert } } });

inEachWay("wire: HTTP/2", async (t, bench) => {
  const { origin } = await serveHttp2(t, identity, (request, response) => {
    if (request.url === "/reset") return request.stream.close(2);
    response.writeHead(request.url === "/busy" ? 503 : 200, { "retry-after": "0" });
    if (request.url !== "/broken") return void response.end("two");
    response.write("begin", () => request.stream.close(2));
  });
  const answers = await Promise.all([1, 2, 3].map(async () => (await bench.sender.send(origin)).text()));
  assert.deepEqual(answers, ["two", "two", "two"]);
  await failed(bench.sender.send(`${origin}/reset`));
  assert.equal(failuresOf(bench, origin), 1);
  assert.equal((await bench.sender.send(`${origin}/busy`)).status, 503);
  const broken = await bench.sender.send(`${origin}/broken`);
  await failed(broken.text());
  assert.equal(failuresOf(bench, origin), 1, "headers that prove that it works, then a body that breaks");
  assert.deepEqual(bench.kinds.slice(0, 3), ["works", "works", "works"]);
  assert.deepEqual(bench.kinds.slice(4), ["overload", "works"]);
}, { agent: { ...trusting, allowH2: true } });

inEachWay("wire: headers that do not come, and a deadline that nobody gave", async (t, bench) => {
  const asked: Socket[] = [];
  const { origin } = await serveBytes(t, (socket) => void asked.push(socket));
  for (let call = 0; call < 2; call++) {
    const error = await failed(bench.sender.send(origin));
    const ours = (isPeerError(error) ? error : error.cause) as { code: string; deadline: string };
    assert.deepEqual([ours.code, ours.deadline], ["DEADLINE_EXCEEDED", "learned"]);
  }
  assert.deepEqual(bench.kinds, ["timed-out", "timed-out"]);
  assert.equal(failuresOf(bench, origin), 2);
  // The requests have ended, too, and their connections with them.
  while (asked.some((socket) => !socket.destroyed)) await new Promise(setImmediate);
}, { peers: { deadlineInitialMs: 30, deadlineFloorMs: 10 } });

inEachWay("wire: a connection that was kept too long", async (t, bench) => {
  const { origin } = await serveBytes(t, (socket, request) => {
    if (request === 1) socket.write(`${OK}content-length: 1\r\n\r\nx`);
    else socket.destroy();
  });
  for (let call = 0; call < 8; call++) {
    assert.equal(await (await bench.sender.send(origin)).text(), "x");
    assert.equal(failuresOf(bench, origin), 0);
  }
  assert.equal(bench.kinds.filter((kind) => kind === "reset").length, 7, "each connection served one request, and the next one was sent again");
}, { options: { attempts: 3 }, way: /fetch/, agent: { connections: 1 } });

inEachWay("wire: one failure of a request that is sent once, and the next works", async (t, bench) => {
  const { origin } = await serveBytes(t, (socket, request) => {
    if (request === 1) socket.write(`${OK}content-length: 1\r\n\r\nx`);
    else socket.destroy();
  });
  const post = (): Promise<string> => bench.sender.send(origin, { method: "POST", body: "b" }).then((response) => response.text());
  for (let call = 0; call < 4; call++) {
    assert.equal(await post(), "x");
    await failed(post());
    assert.equal(failuresOf(bench, origin), 1, "no more than any failure");
  }
  assert.equal(bench.peers.explain(origin).state, "open");
}, { agent: { connections: 1 } });

inEachWay("wire: bodies that break hold the peer back, those without one prove nothing of them", async (t, bench) => {
  let isBroken = true;
  const { origin } = await serveBytes(t, (socket, _request, head) => {
    if (head.startsWith("HEAD")) socket.write(`${OK}content-length: 9\r\n\r\n`);
    else if (isBroken) socket.end(`${OK}content-length: 9\r\n\r\nbegin`);
    else socket.write(`${OK}content-length: 5\r\n\r\nwhole`);
  });
  const failure = async (): Promise<Error> => failed((await bench.sender.send(origin)).text());
  await failure();
  await bench.sender.send(origin, { method: "HEAD" });
  for (let call = 0; call < 5; call++) await failure();
  assert.equal(bench.peers.explain(origin).isDown, true, "their headers prove nothing any more");
  isBroken = false;
  for (;;) {
    while (bench.peers.explain(origin).cooldownMs > 0) await new Promise(setImmediate);
    const text = await bench.sender.send(origin).then((response) => response.text());
    if (text === "whole" && !bench.peers.explain(origin).isDown) break;
  }
});

inEachWay("wire: what cannot be decoded", async (t, bench) => {
  const whole = gzipSync("hello ".repeat(1000));
  let isBroken = true;
  const { origin } = await serveHttp(t, (_request, response) => {
    const body = Buffer.from(whole);
    if (isBroken) body.fill(0xff, 12, 30);
    response.writeHead(200, { "content-encoding": "gzip", "content-length": body.length }).end(body);
  });
  for (let call = 1; call <= 3; call++) {
    await failed((await bench.sender.send(origin)).text());
    assert.equal(failuresOf(bench, origin), call);
  }
  isBroken = false;
  assert.equal((await (await bench.sender.send(origin)).text()).length, 6000);
  assert.equal(failuresOf(bench, origin), 0);
}, { way: /fetch/ });

inEachWay("wire: what cannot be parsed is no fault of the peer", async (t, bench) => {
  const { origin } = await serveHttp(t, (_request, response) => response.end('{"a":'));
  for (let call = 0; call < 6; call++) {
    const response = (await bench.sender.send(origin)) as unknown as Response;
    await assert.rejects(response.json(), SyntaxError);
  }
  assert.equal(failuresOf(bench, origin), 0);
}, { way: /fetch/ });

inEachWay("wire: a redirect is the answer of whom was asked", async (t, bench) => {
  const hits: string[] = [];
  const second = await serveHttp(t, (request, response) => {
    hits.push(`second ${request.url}`);
    response.writeHead(request.url === "/bad" ? 500 : 200).end("there");
  });
  const first = await serveHttp(t, (request, response) => {
    hits.push(`first ${request.url}`);
    response.writeHead(302, { location: `${second.origin}${request.url}` }).end("elsewhere");
  });
  assert.equal(await (await bench.sender.send(`${first.origin}/good`)).text(), "there");
  assert.deepEqual(bench.peers.keys(), [first.origin], "whoever redirects answers for it");
  const bad = await bench.sender.send(`${first.origin}/bad`);
  await bad.text();
  assert.equal(bad.status, 500);
  assert.equal(failuresOf(bench, first.origin), 1);
  assert.deepEqual(hits, ["first /good", "second /good", "first /bad", "second /bad"]);
  assert.deepEqual(bench.kinds, ["works", "server-error"]);
}, { way: /fetch/ });

inEachWay("wire: the interceptor sees each hop of a redirect for itself", async (t, bench) => {
  const second = await serveHttp(t, (_request, response) => response.writeHead(500).end("there"));
  const first = await serveHttp(t, (_request, response) => response.writeHead(302, { location: second.origin }).end("elsewhere"));
  assert.equal(await (await bench.sender.send(first.origin)).text(), "there");
  assert.equal(failuresOf(bench, first.origin), 0);
  assert.equal(failuresOf(bench, second.origin), 1);
}, { way: /built-in undici/ });

/** Advice, and within which bounds it holds, in ms; undefined = not at all. */
const ADVICE: readonly (readonly [headers: string, status: number, bounds: readonly [number, number] | undefined])[] = [
  ["Retry-After: 7", 429, [5000, 10_500]],
  ["Retry-After: 7", 503, [5000, 10_500]],
  ["Retry-After: 7", 200, undefined],
  ["Retry-After: 1.5", 429, [500, 2250]],
  ["Retry-After: -7", 429, undefined],
  ["Retry-After: soon", 429, undefined],
  ["Retry-After: ", 429, undefined],
  ["Retry-After: 31536000", 429, [50_000, 90_000]],
  ["Retry-After: 1000000000000", 429, [50_000, 90_000]],
  [`Retry-After: ${"9".repeat(5000)}`, 429, [50_000, 90_000]],
  ["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 429, undefined],
  ["Retry-After: Thu, 01 Foo 2099 00:00:00 GMT", 429, undefined],
  ["Retry-After: Fri, 01 Jan 2100 00:00:00 GMT", 429, [50_000, 90_000]],
  ["Retry-After: 3\r\nRetry-After: 20", 429, [18_000, 30_000]],
  ["Retry-After: 3\r\nRetry-After: -1", 429, undefined],
  ["RateLimit-Remaining: 0\r\nRateLimit-Reset: 30", 200, [28_000, 45_000]],
  ["X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 30.5", 200, [28_000, 46_000]],
  ["RateLimit-Remaining: 0", 200, undefined],
  ["RateLimit-Reset: 30", 200, undefined],
  ["RateLimit-Reset: 30", 429, [28_000, 45_000]],
  ["RateLimit-Remaining: 3\r\nRateLimit-Reset: 30", 200, undefined],
  ["RateLimit-Remaining: -1\r\nRateLimit-Reset: 30", 200, undefined],
  ['RateLimit: "default";r=0;t=30', 200, [28_000, 45_000]],
  ['RateLimit: "burst";r=0;t=5, "daily";r=0;t=30', 200, [28_000, 45_000]],
  ['RateLimit: "burst";r=0;t=5, "daily";r=9;t=3600', 200, [4000, 7500]],
  ['RateLimit: "burst";r=1;t=5', 200, undefined],
  ['RateLimit: "burst";t=30', 429, [28_000, 45_000]],
  ["RateLimit: limit=10, remaining=0, reset=30", 200, [28_000, 45_000]],
  ["X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: IN-30-S", 200, [20_000, 47_000]],
  ["X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: IN-30-S-IN-MS", 200, [20_000, 45_000]],
  ["X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1000000001", 200, undefined],
];

for (const how of ["the built-in fetch", "undici 8 with the interceptor"]) {
  test(`wire: advice, however it is put: ${how}`, async (t) => {
    let [headers, status] = ["", 0];
    const { origin } = await serveBytes(t, (socket) => socket.write(`HTTP/1.1 ${status} X\r\n${headers}\r\ncontent-length: 0\r\n\r\n`));
    for (const [given, code, bounds] of ADVICE) {
      const inThirtyMs = Date.now() + 30_000;
      [headers, status] = [given.replace("IN-30-S-IN-MS", String(inThirtyMs)).replace("IN-30-S", String(Math.ceil(inThirtyMs / 1000))), code];
      const peers = openPeers();
      const sender = (WAYS[how] as (typeof WAYS)[string])(peers, { attempts: 1 });
      const response = await sender.send(origin);
      await response.text();
      await sender.close();
      assert.equal(response.status, code);
      const { advisedMs, failuresInARow } = peers.explain(origin);
      const label = `${given.slice(0, 80)} (${code}): ${advisedMs} ms`;
      if (bounds === undefined) assert.equal(advisedMs, 0, label);
      else assert.ok(advisedMs >= bounds[0] && advisedMs <= bounds[1], label);
      assert.equal(failuresInARow, 0, label);
    }
  });
}

for (const [how, makeSender] of FETCHES) {
  test(`wire: bodies that stall, and the end of the whole: ${how}`, async (t) => {
    const { origin } = await serveBytes(t, (socket) => socket.write(`${OK}content-length: 100\r\n\r\nbegin`));
    for (const [name, options, deadline] of [["idle", { bodyIdleMs: 20 }, "body-idle"], ["total", { totalMs: 60 }, "total"]] as const) {
      const clock = new CountedClock();
      const peers = openPeers({ clock });
      const sender = makeSender(peers, { attempts: 1, ...options } as WayOptions);
      for (let call = 0; call < 2; call++) {
        const error = await failed((await sender.send(origin)).text());
        assert.deepEqual([error.code, (error as { deadline?: string }).deadline], ["DEADLINE_EXCEEDED", deadline], name);
      }
      await sender.close();
      assert.equal(peers.explain(origin).failuresInARow, deadline === "body-idle" ? 2 : peers.explain(origin).failuresInARow);
      assert.equal(clock.timers, 0);
    }
  });
}

test("wire: a signal that is aborted within the body ends it with its reason, and is nobody's fault", async (t) => {
  const { origin, sockets } = await serveBytes(t, (socket) => socket.write(`${OK}content-length: 100\r\n\r\nbegin`));
  for (const [how, makeSender] of Object.entries(WAYS)) {
    const peers = openPeers();
    const sender = makeSender(peers, {});
    for (let call = 0; call < 2; call++) {
      const control = new AbortController();
      const reason = Object.assign(new Error("mine"), { code: "ECONNRESET" });
      const response = await sender.send(origin, { signal: control.signal });
      const text = failed(response.text());
      control.abort(reason);
      assert.equal(await text, reason, how);
      if (how.includes("fetch")) assert.equal(getEventListeners(control.signal, "abort").length, 0, how);
    }
    const { failuresInARow, inFlight } = peers.explain(origin);
    assert.deepEqual([failuresInARow, inFlight], [0, 0], how);
    await sender.close();
  }
  while (sockets.size > 0) await new Promise(setImmediate);
});

test("wire: a body that nobody wants any more is nobody's fault", async (t) => {
  const { origin } = await serveBytes(t, (socket) => socket.write(`${OK}content-length: 100\r\n\r\nbegin`));
  for (const [how, makeSender] of FETCHES) {
    const peers = openPeers();
    const sender = makeSender(peers, {});
    for (let call = 0; call < 2; call++) {
      const response = (await sender.send(origin)) as unknown as Response;
      await response.body?.cancel(Object.assign(new Error("enough"), { code: "ECONNRESET" }));
    }
    await sender.close();
    assert.equal(peers.explain(origin).failuresInARow, 0, how);
  }
});

test("wire: an agent that is destroyed", async (t) => {
  const { origin } = await serveBytes(t, () => {});
  const peers = openPeers();
  const agent = new Agent();
  const dispatcher = agent.compose(peers.undici());
  const call = dispatcher.request({ origin, path: "/", method: "GET" });
  setImmediate(() => void agent.destroy());
  await failed(call);
  assert.equal(peers.explain(origin).inFlight, 0);
});
