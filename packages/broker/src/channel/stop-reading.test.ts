import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, connect, type Server, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { hasStoppedReading, readAgain, stopReading } from "./stop-reading.ts";

/** More than the sockets on the way hold. */
const BYTES = 8 << 20;

async function pair(options: object, onData: (socket: Socket, chunk: Buffer) => void) {
  const server: Server = createServer({ highWaterMark: 1, allowHalfOpen: true, ...options });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  const handleData = (chunk: Buffer) => onData(socket, chunk);
  socket.on("data", handleData);
  return {
    client, socket, handleData,
    [Symbol.dispose]() {
      for (const each of [client, socket]) each.destroy();
      server.close();
    },
  };
}

test("stop-reading: after a chunk nothing is read, whatever the client writes; then, not one byte is missing", async () => {
  const chunks: Buffer[] = [];
  const stopped = Promise.withResolvers<void>();
  using ends = await pair({}, (socket, chunk) => {
    chunks.push(chunk);
    socket.off("data", ends.handleData);
    stopReading(socket);
    stopped.resolve();
  });
  const { client, socket } = ends;
  const sent = randomBytes(BYTES);
  client.end(sent);
  await stopped.promise;
  const { bytesRead } = socket;
  assert.equal(bytesRead, chunks[0]!.length);
  // The client goes on until what is between us is full: it has no more room in several turns of the loop.
  for (let turnsFull = 0, queued = client.writableLength; turnsFull < 100; turnsFull = client.writableLength === queued ? turnsFull + 1 : 0) {
    queued = client.writableLength;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(socket.bytesRead, bytesRead);
  assert.equal(hasStoppedReading(socket), true);

  readAgain(socket);
  assert.ok(Buffer.concat([...chunks, await buffer(socket)]).equals(sent));
});

test("stop-reading: an end behind the first bytes is left to the next reader, and we can still write", async () => {
  const stopped = Promise.withResolvers<void>();
  using ends = await pair({}, (socket) => {
    stopReading(socket);
    stopped.resolve();
  });
  ends.socket.on("end", () => assert.fail("read the end"));
  ends.client.end("all I have");
  await stopped.promise;
  ends.socket.write("still here");
  assert.equal(String(await once(ends.client, "data")), "still here");
  assert.equal(hasStoppedReading(ends.socket), true);
});

test("stop-reading: a socket on which it would not work is refused", async () => {
  using other = await pair({ highWaterMark: undefined }, () => {});
  assert.throws(() => stopReading(other.socket), { code: "OPTION_INVALID" });
  using ends = await pair({}, (socket) => stopReading(socket));
  ends.client.write("x");
  await once(ends.socket, "data");
  assert.throws(() => stopReading(ends.socket), { code: "OPTION_INVALID" }, "twice");
  assert.throws(() => readAgain(ends.socket), { code: "OPTION_INVALID" }, "with a listener");
});

test("stop-reading: one that was never read has stopped; one that flows has not", async () => {
  using ends = await pair({ pauseOnConnect: true }, () => {});
  assert.equal(hasStoppedReading(ends.socket), true);
  ends.socket.resume();
  assert.equal(hasStoppedReading(ends.socket), false);
});
