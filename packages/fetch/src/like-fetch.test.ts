import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { openPeers } from "./mod.ts";
import { serveHttp } from "./testing/servers.ts";

type Fetch = typeof globalThis.fetch;
type Init = Parameters<Fetch>[1];

/** What a caller may do with a fetch: the same must come of it, whichever fetch it is. */
const USES: Readonly<Record<string, (fetch: Fetch, origin: string) => Promise<unknown>>> = {
  "a request in place of the options": async (fetch, origin) => (await fetch(`${origin}/other`, new Request(origin, { method: "PUT", body: "b", headers: { "x-a": "1" } }) as Init)).text(),
  "options that are inherited": async (fetch, origin) => (await fetch(origin, Object.create({ method: "PUT", body: "b", headers: { "x-a": "2" } }) as Init)).text(),
  "headers that come once": async (fetch, origin) => (await fetch(origin, { method: "POST", body: "b", headers: new Map([["x-a", "3"]]).entries() as unknown as [string, string][] })).text(),
  "no options": async (fetch, origin) => (await fetch(origin, null as unknown as Init)).text(),
  "a signal that is null": async (fetch, origin) => (await fetch(origin, { signal: null })).text(),
  "a buffer of one's own": async (fetch, origin) => {
    const reader = (await fetch(origin)).body?.getReader({ mode: "byob" });
    const first = await reader?.read(new Uint8Array(100));
    return [Buffer.from(first?.value ?? []).toString(), (await reader?.read(new Uint8Array(100)))?.done];
  },
  "all of a body that is locked": async (fetch, origin) => {
    const answer = await fetch(origin);
    answer.body?.getReader();
    return [await answer.text().catch(nameOf), answer.bodyUsed];
  },
  "a copy of a body that is locked": async (fetch, origin) => {
    const answer = await fetch(origin);
    answer.body?.getReader();
    return trying(() => answer.clone());
  },
  "a copy, and what it was made of": async (fetch, origin) => {
    const answer = await fetch(origin);
    const copy = answer.clone();
    return [copy instanceof Response, copy.url === answer.url, await answer.text(), await copy.text(), answer.bodyUsed];
  },
  "a lock that was given back": async (fetch, origin) => {
    const answer = await fetch(origin);
    answer.body?.getReader().releaseLock();
    return [answer.bodyUsed, await answer.text(), answer.bodyUsed, await answer.text().catch(nameOf)];
  },
};

const WAYS: Readonly<Record<string, () => Fetch>> = {
  "by itself": () => openPeers().fetch(),
  "with a bound of silences": () => openPeers().fetch({ bodyIdleMs: 60_000 }),
  "around a fetch that is given": () => openPeers().fetch({ fetch: (input, init) => fetch(input, init) }),
  "around another of ours": () => openPeers().fetch({ fetch: openPeers().fetch() }),
};

/** Answers with what it was asked. */
function serve(t: TestContext, encode: (text: string) => Buffer, headers: Record<string, string>) {
  return serveHttp(t, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => response.writeHead(200, headers).end(encode(`${request.method} ${request.url} ${request.headers["x-a"]} ${body}`)));
  });
}

for (const [way, made] of Object.entries(WAYS)) {
  test(`like fetch: ${way}`, async (t) => {
    for (const server of [await serve(t, Buffer.from, {}), await serve(t, gzipSync, { "content-encoding": "gzip" })]) {
      for (const [use, act] of Object.entries(USES)) assert.deepEqual(await act(made(), server.origin), await act(fetch, server.origin), use);
    }
  });
}

test("like fetch: what is no call is refused as ever, and is nothing of the peer's", async () => {
  const peers = openPeers();
  const key = "http://127.0.0.1:1";
  for (const init of [5, { signal: {} }, { signal: 1 }]) await assert.rejects(peers.fetch()(key, init as Init), { name: "TypeError", message: /Expected/ });
  const { inFlight, failuresInARow } = peers.explain(key);
  assert.deepEqual({ inFlight, failuresInARow }, { inFlight: 0, failuresInARow: 0 });
});

test("like fetch: a request whose body was sent before, or is locked, is nothing of the peer's", async (t) => {
  const { origin } = await serve(t, Buffer.from, {});
  const peers = openPeers();
  const spent = new Request(origin, { method: "POST", body: "b" });
  assert.equal((await peers.fetch()(spent)).status, 200);
  await assert.rejects(peers.fetch()(spent), TypeError);
  const locked = new Request(origin, { method: "POST", body: "b" });
  locked.body?.getReader();
  await assert.rejects(peers.fetch()(locked), TypeError);
  assert.equal(peers.explain(origin).failuresInARow, 0);
  assert.equal((await peers.fetch()(spent, { body: "another" })).status, 200);
});

test("like fetch: an answer that somebody froze is theirs", async (t) => {
  let unhandled: unknown;
  const listen = (reason: unknown): void => void (unhandled = reason);
  process.on("unhandledRejection", listen);
  t.after(() => process.off("unhandledRejection", listen));
  const peers = openPeers();
  const fetch = peers.fetch({ fetch: async () => Object.freeze(new Response("whole")) });
  assert.equal(await (await fetch("http://frozen")).text(), "whole");
  assert.equal(peers.explain("http://frozen").inFlight, 0);
  await setImmediate();
  assert.equal(unhandled, undefined);
});

test("like fetch: each of two that stand around one another hears how a body ends", async (t) => {
  const { origin } = await serveHttp(t, (_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip", "content-length": 100 });
    response.write(gzipSync("broken").subarray(0, 15), () => response.destroy());
  });
  const [inner, outer] = [openPeers(), openPeers()];
  const answer = await outer.fetch({ fetch: inner.fetch() })(origin);
  await assert.rejects(answer.text());
  assert.deepEqual([inner, outer].map((peers) => peers.explain(origin).failuresInARow), [1, 1]);
});

/** A body that flows slowly, of an answer that is collected; then its caller aborts. */
const COLLECTED = `
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { openPeers } from "@holdfast/fetch";
const server = createServer((request, response) => void response.write("first")).listen(0, "127.0.0.1", async () => {
  const url = "http://127.0.0.1:" + server.address().port;
  for (const options of [{}, { bodyIdleMs: 60_000 }]) {
    const caller = new AbortController();
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    const reader = await (async () => {
      const answer = await openPeers().fetch(options)(url, { signal: caller.signal });
      registry.register(answer);
      return answer.body.getReader();
    })();
    await reader.read();
    const rest = reader.read().then(() => "went on", ({ name }) => name);
    for (let turns = 0; collected === 0 && turns < 20; turns++) {
      await setTimeout(1);
      gc();
    }
    await setTimeout(1);
    caller.abort();
    console.log(collected, await Promise.race([rest, setTimeout(5000, "goes on")]));
  }
  server.closeAllConnections();
  server.close();
});`;

test("like fetch: an abort ends a body that is being read, of an answer that nobody holds", () => {
  const { stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", "--conditions=holdfast-source", "--input-type=module", "-e", COLLECTED], { encoding: "utf8", cwd: import.meta.dirname, timeout: 60_000 });
  assert.equal(stdout, "1 AbortError\n0 AbortError\n", stderr);
});

function nameOf(error: Error): string {
  return error.name;
}

function trying(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return nameOf(error as Error);
  }
}
