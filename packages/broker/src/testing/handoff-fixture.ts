/** What the programs of the handoff tests run: a backend that does what the first line of a connection says. */
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";
import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate as turn } from "node:timers/promises";
import { serve } from "../backend/serve.ts";
import type { Socket } from "node:net";

/** Ways of reading a socket, all but the first begun some turns of the event loop after it was given. */
export const READERS = ["data-at-once", "data", "readable", "iterate", "pipe"] as const;
export type Reader = (typeof READERS)[number];

export interface HandoffFixture {
  readonly service: string;
  /** A file that grows by a line for every effect. */
  readonly effects: string;
  /** How it reads its connections: then it answers the hash of all that came. Default: it does what the first line says. */
  readonly reader?: Reader;
}

/** Every stream of bytes in these tests is this block again and again: a prime's length, so that a lost read shows. */
const BLOCK = Buffer.concat(Array.from({ length: 2048 }, (_, index) => createHash("sha256").update(`${index}`).digest())).subarray(0, 65_521);

export function* patternOf(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= BLOCK.length) yield BLOCK.subarray(0, Math.min(left, BLOCK.length));
}

export function hashOfPattern(bytes: number): string {
  const hash = createHash("sha256");
  for (const block of patternOf(bytes)) hash.update(block);
  return hash.digest("hex");
}

/** The hash of everything that comes until the other side ends. */
export async function hashOf(socket: Socket, reader: Reader): Promise<string> {
  const hash = createHash("sha256");
  if (reader !== "data-at-once") for (let turns = 0; turns < 3; turns++) await turn();
  switch (reader) {
    case "data-at-once":
    case "data":
      socket.on("data", (chunk) => void hash.update(chunk));
      await once(socket, "end");
      break;
    case "readable":
      socket.on("readable", () => {
        for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) hash.update(chunk);
      });
      await once(socket, "end");
      break;
    case "iterate": // Of a server's socket, whose side is still to be written.
      for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) hash.update(chunk);
      break;
    case "pipe":
      socket.pipe(hash);
      await once(hash, "readable");
      return (hash.read() as Buffer).toString("hex");
  }
  return hash.digest("hex");
}

export async function runHandoffFixture({ service, effects, reader }: HandoffFixture): Promise<void> {
  await serve({ service }, async (socket) => {
    if (reader !== undefined) return void socket.end(`${await hashOf(socket, reader)}\n`);
    const { line, rest } = await firstLine(socket);
    const [command = "", argument = ""] = line.split(" ");
    if (command === "hash") {
      if (rest.length > 0) socket.unshift(rest);
      const hash = hashOf(socket, "data-at-once");
      socket.resume();
      return void socket.end(`${await hash}\n`);
    }
    socket.resume();
    if (command === "effect") appendFileSync(effects, `${argument}\n`);
    if (command !== "bytes") return void socket.end(`did ${line}\n`);
    await pipeline(Readable.from(patternOf(Number(argument)), { objectMode: false, highWaterMark: 1 << 16 }), socket).catch(() => {});
  });
}

function firstLine(socket: Socket): Promise<{ readonly line: string; readonly rest: Buffer }> {
  return new Promise((done) => {
    let read = Buffer.alloc(0);
    const handleData = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      const at = read.indexOf("\n");
      if (at < 0) return;
      socket.off("data", handleData).pause();
      done({ line: read.toString("latin1", 0, at), rest: read.subarray(at + 1) });
    };
    socket.on("data", handleData);
  });
}
