import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Agent, fetch as newestFetch } from "undici";
import { openPeers } from "./mod.ts";
import { TapDispatcher, tapOf } from "./tap-dispatcher.ts";
import { serveBytes } from "./testing/servers.ts";
import { builtInAgent } from "./testing/ways.ts";

/** The older handlers are those of the built-in fetch, the newer ones those of undici 8. */
const GENERATIONS = [
  ["older", () => builtInAgent(), globalThis.fetch],
  ["newer", () => new Agent(), newestFetch as unknown as typeof fetch],
] as const;

async function asking(t: TestContext, make: () => Agent, send: typeof fetch) {
  const agent = make();
  t.after(() => agent.destroy());
  const { origin } = await serveBytes(t, (socket, _request, head) => {
    const [, path] = head.split(" ");
    if (path === "/whole") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
    if (path === "/redirect") socket.write("HTTP/1.1 302 Found\r\nlocation: /whole\r\ncontent-length: 9\r\n\r\nelsewhere");
    if (path === "/broken") socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegin");
    if (path === "/endless") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegin");
  });
  const tap = new TapDispatcher(agent);
  const heard: string[] = [];
  const watch = { onEnd: () => void heard.push("end"), onBroken: () => void heard.push("broken"), onCancel: () => void heard.push("cancel") };
  return { tap, heard, watch, send: (path: string) => send(`${origin}${path}`, { dispatcher: tap } as unknown as RequestInit) };
}

for (const [generation, make, fetch] of GENERATIONS) {
  test(`tap: hears how a body ends, early or late: ${generation} handlers`, async (t) => {
    for (const [path, expected] of [["/whole", "end"], ["/redirect", "end"], ["/broken", "broken"]] as const) {
      for (const isEarly of [true, false]) {
        const { tap, heard, watch, send } = await asking(t, make, fetch);
        const response = await send(path);
        if (isEarly) tap.follow(watch);
        await response.text().catch(() => {});
        if (!isEarly) tap.follow(watch);
        assert.deepEqual(heard, [expected], path);
      }
    }
  });

  test(`tap: ends a request that waits, and one whose body flows: ${generation} handlers`, async (t) => {
    for (const path of ["/never", "/endless"]) {
      const { tap, heard, watch, send } = await asking(t, make, fetch);
      const control = new AbortController();
      control.signal.addEventListener("abort", () => tap.abort(control.signal.reason));
      const call = send(path).then((response) => {
        tap.follow(watch);
        control.abort();
        return response.text();
      });
      if (path === "/never") setTimeout(() => control.abort(), 20);
      await assert.rejects(call);
      assert.deepEqual(heard, path === "/endless" ? ["cancel"] : []);
    }
  });

  test(`tap: what was ended before it was sent is ended then: ${generation} handlers`, async (t) => {
    const { tap, send } = await asking(t, make, fetch);
    const control = new AbortController();
    control.signal.addEventListener("abort", () => tap.abort(control.signal.reason));
    const call = send("/never");
    control.abort(new Error("mine"));
    await assert.rejects(call);
  });
}

test("tap: stands before the fetch within Node.js alone, and before its mocks", () => {
  assert.ok(tapOf(globalThis.fetch, undefined) instanceof TapDispatcher);
  const replaced: typeof fetch = (input, init) => globalThis.fetch(input, init);
  assert.equal(tapOf(replaced, undefined), undefined);
  assert.ok(tapOf(globalThis.fetch, undefined) instanceof TapDispatcher);
  assert.equal(new TapDispatcher({ isMockActive: true, dispatch: () => true }).isMockActive, true);
  assert.notEqual(new TapDispatcher(undefined).isMockActive, true);
});

test("tap: answers are left as they are, and need no signal, unless there is something to end", async (t) => {
  const { origin } = await serveBytes(t, (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"));
  for (const options of [{}, { deadline: "none" }] as const) {
    const asked: unknown[] = [];
    const agent = builtInAgent();
    t.after(() => agent.destroy());
    const spy = { dispatch: (request: object, handler: object) => (asked.push(request), agent.dispatch(request as never, handler as never)) };
    const fetch = openPeers().fetch(options);
    for (let call = 0; call < 3; call++) {
      const response = await fetch(origin, { dispatcher: spy } as unknown as RequestInit);
      assert.equal(Object.getPrototypeOf(response), Response.prototype);
      await response.text();
    }
    assert.equal(asked.length, 3, "the caller's dispatcher sends");
    const stalling = openPeers().fetch({ ...options, bodyIdleMs: 1000 });
    assert.notEqual(Object.getPrototypeOf(await stalling(origin)), Response.prototype);
  }
});
