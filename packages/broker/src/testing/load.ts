/** Clients of this process that never rest, and tell what went wrong. */
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "./until.ts";
import type { ConnectOptions, Connection } from "../client/connect.ts";
import type { BrokerWorld } from "./broker-world.ts";

/** One short connection or one request on a long one. Times are performance.now()'s. */
export interface Request {
  readonly begunAt: number;
  readonly endedAt: number;
  readonly answer: string;
}

export type Visit = Request & Omit<Connection, "socket">;

export interface LoadOptions {
  readonly service: string;
  readonly connect?: Partial<ConnectOptions>;
  /** How long each client rests between two requests. */
  readonly everyMs: number;
}

export class Load {
  readonly failures: string[] = [];
  /** Of the clients that connect for every request. */
  readonly visits: Visit[] = [];
  /** Of those that stay. */
  readonly requests: Request[] = [];
  /** Connections that ended although their client had not ended them. */
  broken = 0;
  /** Connections that clients gave up because the backend said that it drains. */
  moves = 0;
  readonly #world: BrokerWorld;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[] = [];

  constructor(world: BrokerWorld) {
    this.#world = world;
  }

  /** Clients that connect for every request. */
  addVisitors(count: number, options: LoadOptions): void {
    this.#add(count, options, async () => {
      const begunAt = performance.now();
      const { socket: _, ...visit } = await this.#world.visit(options.service, options.connect);
      this.visits.push({ ...visit, begunAt, endedAt: performance.now() });
    });
  }

  /** Clients that keep their connection until the backend asks them to move. Resolves when all are connected. */
  async addStayers(count: number, options: LoadOptions): Promise<void> {
    const stayers = await Promise.all(Array.from({ length: count }, () => this.#world.connect(options.service, options.connect)));
    for (let { talk } of stayers) {
      this.#add(1, options, async () => {
        if (talk.isMoving) {
          this.moves++;
          await within("the end of a connection", talk.end());
          ({ talk } = await this.#world.connect(options.service, options.connect));
        }
        const begunAt = performance.now();
        const answer = await within("an answer", talk.ask("more"));
        this.requests.push({ begunAt, endedAt: performance.now(), answer });
        if (talk.broken !== undefined) this.broken++;
      }, () => talk[Symbol.dispose]());
    }
  }

  /** Resolves when nobody asks any more. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  #add(count: number, { everyMs }: LoadOptions, request: () => Promise<void>, leave = () => {}): void {
    for (let client = 0; client < count; client++) this.#clients.push(this.#run(everyMs, request).finally(leave));
  }

  async #run(everyMs: number, request: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    await sleep(Math.random() * everyMs); // Or all would come at once, again and again.
    while (!signal.aborted) {
      const begunAt = performance.now();
      await request().catch((error: unknown) => this.failures.push(String(error)));
      await sleep(Math.max(0, begunAt + everyMs - performance.now()));
    }
  }
}
