/**
 * Clients that write without a pause from the moment they are connected until they have read "welcome", and a while longer.
 * Each then ends its side, reads the hash that the backend made, and compares. Prints what was wrong, and how many there were.
 */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { helloOf } from "./hello.ts";

const { target, count, atOnce } = JSON.parse(process.argv[2]!) as { target: string | number; count: number; atOnce: number };
/** Written after "welcome": more than fits into the sockets on the way. */
const BYTES_AFTER_WELCOME = 1 << 20;

let next = 0;
const wrong: string[] = [];
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (next < count) {
    const problem = await chat(next++);
    if (problem !== undefined) wrong.push(problem);
  }
}));
process.send!({ count, wrong });

function chat(index: number): Promise<string | undefined> {
  return new Promise((done) => {
    const hash = createHash("sha256");
    const socket = typeof target === "number" ? connect({ port: target, host: "127.0.0.1", allowHalfOpen: true }) : connect({ path: target, allowHalfOpen: true });
    let answer = "";
    let bytesLeft = Infinity;
    let turn = index;
    const write = () => {
      for (let hasRoom = true; hasRoom && bytesLeft > 0; ) {
        const chunk = Buffer.alloc(1 + ((turn * 7919) % 40_000), turn++); // of many sizes, each unlike its neighbours
        hash.update(chunk);
        bytesLeft -= chunk.length;
        hasRoom = socket.write(chunk);
      }
      if (bytesLeft <= 0) socket.end();
    };
    socket.write(helloOf(index));
    write();
    socket.on("drain", write);
    socket.on("data", (chunk) => {
      answer += String(chunk);
      if (bytesLeft === Infinity && answer.startsWith("welcome\n")) bytesLeft = BYTES_AFTER_WELCOME;
    });
    socket.on("error", (error) => done(`${index}: ${error.message}`));
    socket.on("end", () => {
      const expected = `welcome\n${index} ${hash.copy().digest("hex")}\n`;
      done(answer === expected ? undefined : `${index}: ${answer.slice(0, 40)} after ${socket.bytesWritten} bytes`);
      socket.destroy();
    });
  });
}
