import { DURATION_BOUNDS_S, MEASURE_RULES, MeasuredPeers, PEER_GAUGES, SITE_GAUGES } from "./measured-peers.ts";
import type { Gauge, Measurer, MeasureOptions } from "./measured-peers.ts";
import { checkOptions } from "./option-check.ts";
import type { Peers } from "./peers.ts";

export type { MeasureOptions } from "./measured-peers.ts";

/** What the text is served as. Source: Prometheus' exposition formats, text format 0.0.4. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Counts what the peers do from now on, for Prometheus. Throws OPTION_INVALID. */
export function observePeers(peers: Peers, options: MeasureOptions = {}): PrometheusPeers {
  checkOptions("prometheus", options as Required<MeasureOptions>, MEASURE_RULES);
  return new PrometheusPeers(peers, options);
}

/** Names and values of labels, as they are written. */
type Labels = Readonly<Record<string, string>>;

/** A value for each combination of labels that came up. */
class Family<Value> {
  readonly #labels: readonly string[];
  readonly #empty: () => Value;
  readonly #series = new Map<string, { readonly labels: string; value: Value }>();

  constructor(labels: readonly string[], empty: () => Value) {
    this.#labels = labels;
    this.#empty = empty;
  }

  /** `values`: of the labels, in their order. */
  of(...values: readonly string[]): { readonly labels: string; value: Value } {
    const key = values.join(SEPARATOR);
    let series = this.#series.get(key);
    if (series === undefined) {
      const labels = written(Object.fromEntries(this.#labels.map((label, at) => [label, values[at] as string])));
      this.#series.set(key, (series = { labels, value: this.#empty() }));
    }
    return series;
  }

  lines(of: (labels: string, value: Value) => string[]): string[] {
    return [...this.#series.values()].flatMap(({ labels, value }) => of(labels, value));
  }
}

/** No key and no site contains it that anybody means: two that do could be counted as one. */
const SEPARATOR = "\0";

/** How often, how long in all, and how often up to each bound and beyond the one before. */
interface Durations {
  count: number;
  sumS: number;
  readonly upTo: number[];
}

/**
 * All that is known of the peers, and what was counted of them since. Labels are bounded: what has no name of its own is
 * counted as `other`.
 */
export class PrometheusPeers implements Disposable {
  readonly #measured: MeasuredPeers;
  readonly #attempts = new Family(["peer", "site", "outcome"], () => 0);
  readonly #refusals = new Family(["peer", "reason"], () => 0);
  readonly #transitions = new Family(["peer", "kind"], () => 0);
  readonly #durations = new Family<Durations>(["peer", "site"], () => ({ count: 0, sumS: 0, upTo: DURATION_BOUNDS_S.map(() => 0) }));

  /** `options` are checked. */
  constructor(peers: Peers, options: MeasureOptions) {
    const measurer: Measurer = {
      attempt: (peer, site, outcome, durationS) => {
        this.#attempts.of(peer, site, outcome).value++;
        const { value } = this.#durations.of(peer, site);
        value.count++;
        value.sumS += durationS;
        const at = DURATION_BOUNDS_S.findIndex((bound) => durationS <= bound);
        if (at >= 0) value.upTo[at] = (value.upTo[at] as number) + 1;
      },
      refusal: (peer, code) => void this.#refusals.of(peer, code).value++,
      transition: (peer, kind) => void this.#transitions.of(peer, kind).value++,
    };
    this.#measured = new MeasuredPeers(peers, options, measurer);
  }

  /** In Prometheus' text format. */
  text(): string {
    const known = this.#measured.explain();
    const sites = known.flatMap((peer) => this.#measured.sites(peer).map((site) => ({ ...site, peer: peer.peer })));
    const lines = [
      ...family("holdfast_peers", "gauge", "Peers held.", (name) => [`${name} ${this.#measured.count}`]),
      ...PEER_GAUGES.flatMap((gauge) => gauges("holdfast_peer", gauge, known, ({ peer }) => ({ peer }))),
      ...SITE_GAUGES.flatMap((gauge) => gauges("holdfast_site", gauge, sites, ({ peer, site }) => ({ peer, site }))),
      ...family("holdfast_attempts_total", "counter", "Attempts that are over.", (name) => this.#attempts.lines(counted(name))),
      ...family("holdfast_attempt_duration_seconds", "histogram", "How long they took.", (name) => this.#durations.lines(lasted(name))),
      ...family("holdfast_refusals_total", "counter", "Attempts that were not admitted.", (name) => this.#refusals.lines(counted(name))),
      ...family("holdfast_transitions_total", "counter", "What became of peers.", (name) => this.#transitions.lines(counted(name))),
    ];
    return `${lines.join("\n")}\n`;
  }

  /** Counts no more. */
  [Symbol.dispose](): void {
    this.#measured[Symbol.dispose]();
  }
}

function gauges<Of>(prefix: string, { name, unit, help, of }: Gauge<Of>, all: readonly Of[], labelsOf: (what: Of) => Labels): string[] {
  return family(`${prefix}_${name}${unit === "s" ? "_seconds" : ""}`, "gauge", help, (full) => all.map((one) => `${full}{${written(labelsOf(one))}} ${of(one)}`));
}

function family(name: string, type: "gauge" | "counter" | "histogram", help: string, lines: (name: string) => string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines(name)];
}

const counted = (name: string) => (labels: string, count: number): string[] => [`${name}{${labels}} ${count}`];

/** Buckets hold those below them. */
const lasted = (name: string) => (labels: string, { count, sumS, upTo }: Durations): string[] => {
  let below = 0;
  const buckets = upTo.map((times, at) => `${name}_bucket{${labels},le="${DURATION_BOUNDS_S[at]}"} ${(below += times)}`);
  return [...buckets, `${name}_bucket{${labels},le="+Inf"} ${count}`, `${name}_sum{${labels}} ${sumS}`, `${name}_count{${labels}} ${count}`];
};

function written(labels: Labels): string {
  return Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`).join(",");
}
