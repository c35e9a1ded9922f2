import { Agent, fetch as newestFetch, request } from "undici";
import type { FetchOptions, Peers, UndiciInterceptor } from "../mod.ts";

/** What a way of sending is told, beside what all have. */
export type WayOptions = Pick<FetchOptions, "attemptMs" | "attempts" | "backoffBaseMs">;

export interface Answer {
  readonly status: number;
  text(): Promise<string>;
}

export interface Sender {
  send(url: string, init?: { method?: string; body?: string; signal?: AbortSignal }): Promise<Answer>;
  /** Ends the connections. */
  close(): Promise<void>;
}

type Composed = Agent & { close(): Promise<void> };

/** What undici's agents are told about TLS and HTTP/2. */
export type AgentOptions = ConstructorParameters<typeof Agent>[0];

/** The agent within Node.js, an own one: by the one that all share, as its class is not to be had. */
export function builtInAgent(options: AgentOptions = {}): Composed {
  void fetch("data:,").catch(() => {});
  const { constructor } = (globalThis as unknown as Record<symbol, object>)[Symbol.for("undici.globalDispatcher.1")] as { constructor: new (options: AgentOptions) => Composed };
  return new constructor(options);
}

function compose(agent: Agent, interceptor: UndiciInterceptor): Agent {
  return agent.compose(interceptor) as unknown as Agent;
}

/** Each way in which a program may send through the peers. The first three are `peers.fetch`. */
export const WAYS: Readonly<Record<string, (peers: Peers, options: WayOptions, agentOptions?: AgentOptions) => Sender>> = {
  "the built-in fetch"(peers, options, agentOptions) {
    const agent = builtInAgent(agentOptions);
    const send = peers.fetch(options);
    return { send: (url, init) => send(url, { ...init, dispatcher: agent } as unknown as RequestInit), close: () => agent.destroy() };
  },
  "the built-in fetch, with a signal"(peers, options, agentOptions) {
    const agent = builtInAgent(agentOptions);
    const send = peers.fetch(options);
    const { signal } = new AbortController();
    return { send: (url, init) => send(url, { signal, ...init, dispatcher: agent } as unknown as RequestInit), close: () => agent.destroy() };
  },
  "the fetch of undici 8"(peers, options, agentOptions) {
    const agent = new Agent(agentOptions);
    const sender = (input: string, init: object) => newestFetch(input, { ...init, dispatcher: agent });
    const send = peers.fetch({ ...options, fetch: sender as unknown as typeof fetch });
    return { send: (url, init) => send(url, init), close: () => agent.destroy() };
  },
  "undici 8 with the interceptor"(peers, { attemptMs }, agentOptions) {
    const agent = new Agent(agentOptions);
    const dispatcher = compose(agent, peers.undici(attemptMs === undefined ? {} : { attemptMs }));
    return {
      async send(url, init) {
        const { statusCode, body } = await request(url, { ...init, dispatcher } as Parameters<typeof request>[1]);
        return { status: statusCode, text: () => body.text() };
      },
      close: () => agent.destroy(),
    };
  },
  "the built-in undici with the interceptor"(peers, { attemptMs }, agentOptions) {
    const agent = builtInAgent(agentOptions);
    const dispatcher = compose(agent, peers.undici(attemptMs === undefined ? {} : { attemptMs }));
    return { send: (url, init) => fetch(url, { ...init, dispatcher } as unknown as RequestInit), close: () => agent.destroy() };
  },
};
