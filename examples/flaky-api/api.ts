/**
 * A remote with a bad day, in a process of its own: `node api.ts SECONDS`. Each of its phases takes so long, and its
 * last one lasts. Prints its URL first, then the name of each phase that begins.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Phase = readonly [name: string, answer: (request: IncomingMessage, response: ServerResponse) => void];

const works = (afterMs: number) => (_request: IncomingMessage, response: ServerResponse): void => {
  setTimeout(() => response.end("42\n"), afterMs);
};

const PHASES: readonly Phase[] = [
  ["works: answers after 20 to 40 ms", (request, response) => works(20 + 20 * Math.random())(request, response)],
  ["has too much to do: 429, come back in a second", (_request, response) => response.writeHead(429, { "retry-after": "1" }).end()],
  ["is broken: connections are reset", (request) => request.socket.resetAndDestroy()],
  ["works again", (request, response) => works(20 + 20 * Math.random())(request, response)],
  ["hangs: takes requests, and answers none", () => {}],
  ["works for good", (request, response) => works(20 + 20 * Math.random())(request, response)],
];

const seconds = Number(process.argv[2] ?? 2);
let phase = 0;
let began = false;

function next(): void {
  const [name] = PHASES[phase] as Phase;
  process.stdout.write(`the remote ${name}\n`);
  if (phase === PHASES.length - 1) return;
  setTimeout(() => {
    phase++;
    next();
  }, seconds * 1000);
}

// It ends with whoever started it, however that ended.
process.stdin.resume().on("end", () => process.exit());

const server = createServer((request, response) => {
  if (!began) next();
  began = true;
  (PHASES[phase] as Phase)[1](request, response);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`));
