import type { FallbackReason } from "@holdfast/core/peer";
import { NACK_REASONS, ROUTES } from "../protocol/messages.ts";
import type { Route } from "../protocol/messages.ts";
import { REFUSAL_CODES } from "../protocol/refusal.ts";

/** What `text` is served as. */
export const METRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PREFIX = "holdfast_broker_";
const US_PER_S = 1_000_000;
/** Upper bounds of the histograms' buckets: from what a handoff takes to how long a backend may take to start. */
const BUCKETS_US = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
  1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

const FALLBACK_REASONS = [
  "client-unsupported", "service-policy-disabled", "fd-pressure-disabled", "adopted-backend", "failed-attempt-rate-limited",
  "permission-denied", "integrity-mismatch", "backend-ack-timeout",
] as const satisfies readonly FallbackReason[];
/** Why a connection took its route and no better one; "none" if it took the best. */
export const CONNECTION_REASONS = ["none", ...FALLBACK_REASONS, ...NACK_REASONS, "backend-lost", "too-many-offers"] as const;
export type ConnectionReason = (typeof CONNECTION_REASONS)[number];

/** How a Hello was answered: the route that it was given, or why it was refused. */
export const HELLO_RESULTS = [...ROUTES, ...REFUSAL_CODES] as const;
export type HelloResult = (typeof HELLO_RESULTS)[number];

/** What became of a connection that was offered to a backend; "lost" is a backend that ended meanwhile. */
export const OFFER_OUTCOMES = ["acked", "nacked", "lost", "expired"] as const;
export type OfferOutcome = (typeof OFFER_OUTCOMES)[number];

/** "unable" is the backend's word that starting it again would not help; "failed" is any other end before it was ready. */
export const SPAWN_OUTCOMES = ["ready", "unable", "failed"] as const;
export type SpawnOutcome = (typeof SPAWN_OUTCOMES)[number];

/** What is merely counted. */
const EVENTS = {
  redirects: "Connections that were sent to a backend's own endpoint.",
  start_budget_spent: "Starts that were refused because a backend had used up its starts for now.",
  backend_restarts: "Backends that were started again after they had ended by themselves.",
  connections_dropped: "Connections that were closed before a Hello, since the server had too many.",
  connections_refused_uid: "Connections of other users.",
} as const;
export type BrokerEvent = keyof typeof EVENTS;

/** What is asked for when the metrics are read. What is undefined is not known here, and left out. */
export interface BrokerGauges {
  /** Backends by state. The caller sees to it that states are few. */
  readonly backends: Readonly<Record<string, number>>;
  readonly connectionsOpen: number;
  readonly hellosPending: number;
  readonly descriptorsUsedShare: number | undefined;
  readonly uptimeSeconds: number;
  readonly residentMemoryBytes: number;
}

/**
 * BrokerMetrics counts what a broker does, and tells it in the text format of OpenMetrics, which Prometheus reads.
 *
 * Invariants:
 *   B1. All labels are known beforehand: counting allocates nothing, whoever connects.
 *   B2. Each counter of one label is shown from the start, at 0: a series that appears at 1 has no increase.
 *       (Of routes and reasons only the pairs that occurred: most never do.)
 */
export class BrokerMetrics {
  readonly #gauges: () => BrokerGauges;
  readonly #connections: Readonly<Record<Route, Record<ConnectionReason, number>>>;
  readonly #hellos = row(HELLO_RESULTS);
  readonly #helloDurations: Readonly<Record<Route, Histogram>>;
  readonly #offers = row(OFFER_OUTCOMES);
  readonly #handoffDuration = new Histogram();
  readonly #spawns = row(SPAWN_OUTCOMES);
  readonly #events = row(Object.keys(EVENTS) as BrokerEvent[]);

  constructor(gauges: () => BrokerGauges) {
    this.#gauges = gauges;
    this.#connections = table(ROUTES, () => row(CONNECTION_REASONS));
    this.#helloDurations = table(ROUTES, () => new Histogram());
  }

  recordConnection(route: Route, reason: ConnectionReason): void {
    this.#connections[route][reason] += 1;
  }

  /** From accepting the connection to answering its Hello. The time that a refusal takes is not kept. */
  recordHello(result: HelloResult, durationUs: number): void {
    this.#hellos[result] += 1;
    if (isRoute(result)) this.#helloDurations[result].observe(durationUs);
  }

  /** From offering the connection to the backend's answer; the time is kept of those it took. */
  recordOffer(outcome: OfferOutcome, durationUs: number): void {
    this.#offers[outcome] += 1;
    if (outcome === "acked") this.#handoffDuration.observe(durationUs);
  }

  recordSpawn(outcome: SpawnOutcome): void {
    this.#spawns[outcome] += 1;
  }

  count(event: BrokerEvent, times = 1): void {
    this.#events[event] += times;
  }

  text(): string {
    const page = new Page();
    page.family("connections", "counter", "Connections by the route they took, and why no better one.");
    for (const [route, reasons] of Object.entries(this.#connections)) {
      for (const [reason, count] of Object.entries(reasons)) if (count > 0) page.sample("_total", { route, reason }, count);
    }
    page.counters("hellos", "result", "Hellos by their answer: a route, or the code of a refusal.", this.#hellos);
    page.family("hello_duration_seconds", "histogram", "Time from accepting a connection to answering its Hello, by route.");
    for (const [route, histogram] of Object.entries(this.#helloDurations)) page.histogram({ route }, histogram);
    page.family("handoff_duration_seconds", "histogram", "Time from offering a connection to a backend until it took it.");
    page.histogram({}, this.#handoffDuration);
    page.counters("offers", "outcome", "Connections that were offered to a backend, by what became of them.", this.#offers);
    page.counters("spawn_attempts", "outcome", "Starts of backends by outcome.", this.#spawns);
    for (const [event, help] of Object.entries(EVENTS)) {
      page.family(event, "counter", help);
      page.sample("_total", {}, this.#events[event as BrokerEvent]);
    }
    this.#writeGauges(page);
    return page.text();
  }

  #writeGauges(page: Page): void {
    const gauges = this.#gauges();
    page.family("backends", "gauge", "Backends by state.");
    for (const [state, count] of Object.entries(gauges.backends)) page.sample("", { state }, count);
    const gauge = (name: string, help: string, value: number | undefined): void => {
      page.family(name, "gauge", help);
      if (value !== undefined) page.sample("", {}, value);
    };
    gauge("connections_open", "Connections that the broker holds at the moment.", gauges.connectionsOpen);
    gauge("hellos_pending", "Hellos that wait for their answer: most for a backend that is starting.", gauges.hellosPending);
    gauge("descriptors_used_ratio", "Share of the limit on open descriptors that is in use.", gauges.descriptorsUsedShare);
    gauge("uptime_seconds", "Time since the broker started.", gauges.uptimeSeconds);
    gauge("resident_memory_bytes", "Memory that the broker occupies.", gauges.residentMemoryBytes);
  }
}

/** Durations by size. Times come in µs and are told in seconds, the base unit of the format. */
class Histogram {
  /** One more than there are bounds: the last is for what exceeds them all. */
  readonly counts: number[] = [...BUCKETS_US.map(() => 0), 0];
  sumUs = 0;

  observe(durationUs: number): void {
    let at = 0;
    while (at < BUCKETS_US.length && durationUs > (BUCKETS_US[at] as number)) at += 1;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sumUs += durationUs;
  }
}

type Labels = Readonly<Record<string, string>>;

/** Writes metrics in the text format of OpenMetrics 1.0: each family once, with all its samples right behind its head. */
class Page {
  #family = "";
  readonly #lines: string[] = [];

  family(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    this.#family = PREFIX + name;
    this.#lines.push(`# TYPE ${this.#family} ${type}`);
    const unit = /_(seconds|bytes|ratio)$/.exec(name)?.[1];
    if (unit !== undefined) this.#lines.push(`# UNIT ${this.#family} ${unit}`);
    this.#lines.push(`# HELP ${this.#family} ${escaped(help)}`);
  }

  sample(suffix: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text)}"`).join(",");
    this.#lines.push(`${this.#family}${suffix}${pairs === "" ? "" : `{${pairs}}`} ${numberText(value)}`);
  }

  counters(name: string, label: string, help: string, counts: Readonly<Record<string, number>>): void {
    this.family(name, "counter", help);
    for (const [value, count] of Object.entries(counts)) this.sample("_total", { [label]: value }, count);
  }

  histogram(labels: Labels, { counts, sumUs }: Histogram): void {
    let total = 0;
    for (const [at, count] of counts.entries()) {
      const boundUs = BUCKETS_US[at] ?? Infinity;
      total += count;
      this.sample("_bucket", { ...labels, le: boundText(boundUs / US_PER_S) }, total);
    }
    this.sample("_count", labels, total);
    this.sample("_sum", labels, sumUs / US_PER_S);
  }

  text(): string {
    return [...this.#lines, "# EOF\n"].join("\n");
  }
}

function row<K extends string>(keys: readonly K[]): Record<K, number> {
  return table(keys, () => 0);
}

function table<K extends string, V>(keys: readonly K[], value: () => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value()])) as Record<K, V>;
}

function isRoute(result: HelloResult): result is Route {
  return (ROUTES as readonly string[]).includes(result);
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? String(value) : `${value > 0 ? "+" : "-"}Inf`;
}

/** Bounds are matched as text: whole ones are written with a decimal, as the format wants all of them. */
function boundText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : numberText(bound);
}
