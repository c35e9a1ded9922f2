import { ENGINE_DEFAULTS, Heap, Random } from "@holdfast/core";
import { RttTracker, type SiteId } from "@holdfast/core/peer";
import type { End, Policy, PolicyEntry } from "./policies/policy.ts";
import type { Scenario } from "./scenarios.ts";

/** What one policy made of one run. */
export interface Measured {
  readonly requests: number;
  /** Of the requests that were answered, in ns; in order of their ends. */
  readonly latenciesNs: Float64Array;
  readonly failed: number;
  readonly hedges: number;
  /** Attempts on the watched server, and all, while it happened; and in the first second of that. */
  readonly watched: number;
  readonly during: number;
  readonly watchedFirst: number;
  readonly duringFirst: number;
  /** By client: its attempts on the watched server since it began, until it was set aside; −1: it never was. */
  readonly asideAfter: readonly number[];
  /** How often a server to which nothing happened was set aside. */
  readonly wronglyAside: number;
}

/** Network and kernel, there and back. */
const WAY_NS = 1e6;
/** A server's work: log-normal, of 8 ms in the median and 10.2 ms on average; one in 200 takes so many times as long. */
const WORK_NS = 8e6;
const WORK_SIGMA = 0.7;
const LONG_ONE_OF = 200;
const LONG_FACTOR = 20;
/** Hedges are at most a tenth of the requests, and a few at the start. */
const HEDGE_SHARE = 0.1;
const HEDGES_SAVED = 10;

/** Who asks, and what it knows. */
interface Client {
  readonly policy: Policy;
  readonly tracker: RttTracker;
  tokens: number;
  watched: number;
  asideAfter: number;
  readonly aside: Set<number>;
}

interface Request {
  readonly client: Client;
  readonly at: number;
  readonly workNs: number;
  readonly attempts: Attempt[];
  done: boolean;
}

interface Attempt {
  readonly request: Request;
  readonly server: number;
  readonly sentAt: number;
  readonly workNs: number;
  readonly fails: boolean;
  stage: "waits" | "works" | "over";
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly happens: () => void;
}

interface Server {
  free: number;
  readonly queue: Attempt[];
}

/**
 * The clients, each with a balancer, and the servers: each server works at `slots` requests at a time, first come first served. The
 * requests, their instants and their work are the same for every policy; so is what an attempt on a server meets.
 */
export function runPolicy(scenario: Scenario, entry: PolicyEntry, seed: string): Measured {
  const arrivals = Random.fromSeed(`${seed} arrivals`);
  const work = Random.fromSeed(`${seed} work`);
  const fate = Random.fromSeed(`${seed} fate`);
  const clients = Array.from({ length: scenario.clients ?? 1 }, (_, index): Client => ({
    policy: entry.begin(scenario.servers, Random.fromSeed(`${seed} ${entry.name} ${index}`)),
    tracker: new RttTracker({ budgetFloorNs: ENGINE_DEFAULTS.budgetFloorNs }),
    tokens: HEDGES_SAVED, watched: 0, asideAfter: -1, aside: new Set(),
  }));
  const events = new Heap<Event>((a, b) => a.at - b.at || a.order - b.order);
  const servers: Server[] = Array.from({ length: scenario.servers }, () => ({ free: scenario.slots, queue: [] }));
  const all = servers.map((_, index) => index);
  const early = scenario.joins === true ? all.filter((index) => index !== scenario.watched) : all;
  const sites = all.map((index) => `server ${index}` as SiteId);
  const latencies: number[] = [];
  const counts = { requests: 0, failed: 0, hedges: 0, watched: 0, during: 0, watchedFirst: 0, duringFirst: 0, wronglyAside: 0 };
  let order = 0;
  let now = 0;

  const happensNow = () => now >= scenario.from && now < scenario.to;
  const isHit = (server: number) => server === scenario.watched && happensNow();
  const later = (inNs: number, happens: () => void) => events.push({ at: now + inNs, order: order++, happens });

  function begin(request: Request, without: number): void {
    const { client } = request;
    const members = now >= scenario.from ? all : early;
    const server = client.policy.pick(without < 0 ? members : members.filter((member) => member !== without), now);
    const fails = fate.nextFraction() < (isHit(server) ? (scenario.failShare ?? 0) : 0);
    const attempt: Attempt = { request, server, sentAt: now, workNs: request.workNs * (isHit(server) ? (scenario.factor ?? 1) : 1), fails, stage: "waits" };
    request.attempts.push(attempt);
    client.policy.began(server, now);
    if (happensNow()) {
      counts.during++;
      const isFirst = now < scenario.from + 1e9;
      if (isFirst) counts.duringFirst++;
      if (server === scenario.watched) {
        counts.watched++;
        client.watched++;
        if (isFirst) counts.watchedFirst++;
      }
    }
    if (fails) later(WAY_NS, () => answered(attempt)); // it is refused at the door
    else {
      (servers[server] as Server).queue.push(attempt);
      serve(server);
    }
    if (entry.hedges === true && without < 0 && members.length > 1) armHedge(request, attempt);
  }

  function armHedge(request: Request, attempt: Attempt): void {
    const { client } = request;
    const { tracker } = client;
    const site = sites[attempt.server] as SiteId;
    if (tracker.budgetTier(site, undefined) === "static") return;
    later(tracker.estimateBudget(site, undefined, ENGINE_DEFAULTS.perHopBudgetNs), () => {
      if (request.done || attempt.stage === "over" || client.tokens < 1) return;
      client.tokens--;
      counts.hedges++;
      begin(request, attempt.server);
    });
  }

  function serve(index: number): void {
    const server = servers[index] as Server;
    while (server.free > 0) {
      const attempt = server.queue.shift();
      if (attempt === undefined) return;
      if (attempt.stage !== "waits") continue;
      attempt.stage = "works";
      server.free--;
      later(attempt.workNs, () => {
        if (attempt.stage !== "works") return; // cancelled: its slot was freed then
        server.free++;
        const addedNs = isHit(index) ? (scenario.addedNs ?? 0) : 0;
        later(WAY_NS + addedNs, () => answered(attempt));
        attempt.stage = "waits";
        serve(index);
      });
    }
  }

  function end(attempt: Attempt, how: End): void {
    const wasWorking = attempt.stage === "works";
    attempt.stage = "over";
    const { client } = attempt.request;
    const { policy } = client;
    policy.ended(attempt.server, how, now - attempt.sentAt, now);
    if (wasWorking) {
      (servers[attempt.server] as Server).free++;
      serve(attempt.server);
    }
    if (policy.isAside !== undefined) lookAside(client, attempt.server, policy.isAside(attempt.server, now));
  }

  function lookAside(client: Client, server: number, isAside: boolean): void {
    if (!isAside) return void client.aside.delete(server);
    if (client.aside.has(server)) return;
    client.aside.add(server);
    if (!isHit(server)) counts.wronglyAside++;
    else if (client.asideAfter < 0) client.asideAfter = client.watched;
  }

  function answered(attempt: Attempt): void {
    const { request } = attempt;
    if (attempt.stage === "over") return;
    end(attempt, attempt.fails ? "error" : "ok");
    if (!attempt.fails) request.client.tracker.observeRoundTrip(sites[attempt.server] as SiteId, undefined, now - attempt.sentAt, now);
    if (attempt.fails && request.attempts.some(({ stage }) => stage !== "over")) return; // another may still answer
    request.done = true;
    if (attempt.fails) counts.failed++;
    else latencies.push(now - request.at);
    for (const other of request.attempts) if (other.stage !== "over") end(other, "cancelled");
  }

  function arrive(): void {
    const client = clients[counts.requests++ % clients.length] as Client;
    client.tokens = Math.min(HEDGES_SAVED, client.tokens + HEDGE_SHARE);
    begin({ client, at: now, workNs: drawWork(work), attempts: [], done: false }, -1);
    const gapNs = Math.floor((-Math.log(1 - arrivals.nextFraction()) * 1e9) / scenario.requestsPerS) + 1;
    if (now + gapNs < scenario.lastsNs) later(gapNs, arrive);
  }

  later(1, arrive);
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    now = event.at;
    event.happens();
  }
  return { ...counts, asideAfter: clients.map(({ asideAfter }) => asideAfter), latenciesNs: Float64Array.from(latencies) };
}

/** Box and Muller's transformation of two uniform draws; then the draw for a long one. */
function drawWork(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.nextFraction()));
  const normal = radius * Math.cos(2 * Math.PI * random.nextFraction());
  const factor = random.below(LONG_ONE_OF) === 0 ? LONG_FACTOR : 1;
  return Math.floor(WORK_NS * factor * Math.exp(WORK_SIGMA * normal));
}
