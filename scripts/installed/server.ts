import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** What a URL may ask for: a status, 429 with the seconds of its advice, or a connection that ends before or within the answer. */
type Answer = `${number}` | `429-${number}` | "reset" | "torn";

/**
 * A server on loopback that fails, advises and recovers as each URL says: `/answers/500,reset,200/name` answers the first request for it
 * with 500, resets the second, and answers all others with 200.
 */
export async function startServer(others: (request: IncomingMessage, response: ServerResponse) => void = notFound): Promise<{ server: Server; origin: string }> {
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    const { url = "" } = request;
    // A connection of its own for each: clients repeat silently what is reset on one that they kept.
    response.setHeader("connection", "close");
    const [, kind, answers = ""] = url.split("/");
    if (kind !== "answers") return others(request, response);
    const list = answers.split(",") as Answer[];
    const at = asked.get(url) ?? 0;
    asked.set(url, at + 1);
    answer(response, list[Math.min(at, list.length - 1)] as Answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { server, origin: `http://127.0.0.1:${port}` };
}

function answer(response: ServerResponse, what: Answer): void {
  if (what === "reset") {
    response.socket?.destroy();
  } else if (what === "torn") {
    response.writeHead(200, { "content-length": "1000" });
    response.write("the first of it", () => setImmediate(() => response.socket?.destroy()));
  } else {
    const [status, seconds] = what.split("-");
    if (seconds !== undefined) response.setHeader("retry-after", seconds);
    response.writeHead(Number(status)).end(`status ${status}`);
  }
}

function notFound(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(404).end();
}
