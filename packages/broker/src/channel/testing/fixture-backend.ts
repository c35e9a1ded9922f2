/**
 * A backend for the channel's tests. To every connection it says "welcome" at once; when the client has ended its side, it
 * says which offer the connection came with, and the hash of all that the client had sent. The test commands it over Node's
 * own channel.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { receiveOffers } from "../receive-offers.ts";
import type { Socket } from "node:net";
import type { ChannelDescription } from "../handoff-channel.ts";

/** What a test tells it. `do` is answered by { did, … }. */
export type FixtureCommand =
  | { do: "starve" }
  /** Gives `count` descriptors back. */
  | { do: "free"; count: number }
  /** What has been offered since it started: ids, and whether a connection came with them. */
  | { do: "list" }
  | { do: "answer"; id: number }
  /** Kills itself right behind its answer to so many more offers. */
  | { do: "die-behind"; answers: number }
  | { do: "exit" };

export interface FixtureReport {
  readonly did: FixtureCommand["do"] | "start";
  readonly offers: readonly { id: number; arrived: boolean }[];
}

const description = JSON.parse(process.argv[2]!) as ChannelDescription;
const offers: { id: number; arrived: boolean }[] = [];
const hoarded: number[] = [];
let answersLeft = Infinity;

const receiver = receiveOffers(description, (head, rest, socket) => {
  offers.push({ id: head.id, arrived: socket !== undefined });
  if (socket === undefined) return receiver.answer(head.id, "no-handle");
  serve(socket, head.id, rest);
  receiver.answer(head.id, undefined);
  if (--answersLeft === 0) process.kill(process.pid, "SIGKILL");
});

function serve(socket: Socket, id: number, rest: Uint8Array): void {
  const hash = createHash("sha256");
  if (rest.length > 0) socket.unshift(rest);
  socket.write("welcome\n");
  socket.on("error", () => {});
  socket.on("data", (chunk) => void hash.update(chunk));
  socket.on("end", () => socket.end(`${id} ${hash.digest("hex")}\n`));
  socket.resume();
}

function starve(): void {
  try {
    for (;;) hoarded.push(openSync("/dev/null", "r"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EMFILE") throw error;
  }
}

process.on("message", (command: FixtureCommand) => {
  if (typeof command !== "object" || command === null || !("do" in command)) return;
  switch (command.do) {
    case "starve": starve(); break;
    case "free": for (const fd of hoarded.splice(0, command.count)) closeSync(fd); break;
    case "answer": receiver.answer(command.id, undefined); break;
    case "die-behind": answersLeft = command.answers; break;
    case "exit": return process.exit();
    default:
  }
  report(command.do);
});

function report(did: FixtureReport["did"]): void {
  process.send?.({ did, offers } satisfies FixtureReport);
}

process.channel?.ref(); // It has no listening socket that would keep it.
report("start");
