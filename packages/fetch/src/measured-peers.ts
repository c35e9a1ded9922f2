import { BoundedNames, OTHER } from "./bounded-names.ts";
import type { AttemptReport } from "./call.ts";
import { isPeerError } from "./errors.ts";
import type { PeerErrorCode } from "./errors.ts";
import { aCount, withDefaults } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import { isFault } from "./outcome.ts";
import type { OutcomeKind } from "./outcome.ts";
import type { TransitionKind } from "./peer-book.ts";
import type { PeerExplained, SiteExplained } from "./peer-explained.ts";
import type { Peers } from "./peers.ts";
import { hostOf } from "./peers-host.ts";
import type { PeerTransition } from "./transition.ts";

export interface MeasureOptions {
  /** Peers that are named, a quarter of them kept for those in trouble; what the others do is counted as `other`. Default 100. */
  readonly peersMax?: number;
  /** Sites that are named, of each of these peers. Default 10. */
  readonly sitesMax?: number;
}

export const MEASURE_RULES: Rules<Required<MeasureOptions>> = { peersMax: aCount(1, 100_000), sitesMax: aCount(0, 10_000) };
const DEFAULTS: Required<MeasureOptions> = Object.freeze({ peersMax: 100, sitesMax: 10 });

/** Who counts what happens. Peers and sites come by the names under which they are to be counted. */
export interface Measurer {
  attempt(peer: string, site: string, outcome: OutcomeKind, durationS: number): void;
  refusal(peer: string, code: PeerErrorCode): void;
  transition(peer: string, kind: TransitionKind): void;
}

/** Something about a peer, or a site of one, that has a value at any time. */
export interface Gauge<Of> {
  readonly name: string;
  readonly unit: "s" | "1" | "{attempt}";
  readonly help: string;
  readonly of: (what: Of) => number;
}

const MS_PER_S = 1000;

export const PEER_GAUGES: readonly Gauge<PeerExplained>[] = [
  { name: "blocked", unit: "1", help: "1 = policy denies it.", of: ({ policy }) => Number(!policy.allow) },
  { name: "down", unit: "1", help: "1 = as many failures in a row as make a peer down, and none that worked since.", of: ({ isDown }) => Number(isDown) },
  { name: "half_open", unit: "1", help: "1 = it failed, and is tried by few calls at a time.", of: ({ state }) => Number(state === "half-open") },
  { name: "failures_in_a_row", unit: "1", help: "Failures since the last success.", of: ({ failuresInARow }) => failuresInARow },
  { name: "cooldown", unit: "s", help: "How long failures keep us away yet.", of: ({ cooldownMs }) => cooldownMs / MS_PER_S },
  { name: "advised", unit: "s", help: "How long the peer's advice keeps us away yet.", of: ({ advisedMs }) => advisedMs / MS_PER_S },
  { name: "in_flight", unit: "{attempt}", help: "Attempts under way.", of: ({ inFlight }) => inFlight },
  { name: "retry_tokens", unit: "{attempt}", help: "Further attempts that the peer's successes have earned.", of: ({ retryTokens }) => retryTokens },
];

export const SITE_GAUGES: readonly Gauge<SiteExplained>[] = [
  { name: "round_trip", unit: "s", help: "Smoothed round trip.", of: ({ srttMs }) => srttMs / MS_PER_S },
  { name: "deadline", unit: "s", help: "Learned deadline.", of: ({ deadlineMs }) => deadlineMs / MS_PER_S },
];

/** Bounds of what attempts take, in s. Source: OpenTelemetry's advice for HTTP durations; 30 and 60 since deadlines go that far. */
export const DURATION_BOUNDS_S: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];

const TRANSITIONS: Readonly<Record<TransitionKind, true>> = { "down": true, "up": true, "cooling-down": true, "advised": true, "blocked": true, "unblocked": true };

/**
 * MeasuredPeers tells somebody who counts what the peers do, by bounded names, until it is disposed of. The answers to
 * questions go by the same names.
 */
export class MeasuredPeers implements Disposable {
  readonly #peers: Peers;
  readonly #names: BoundedNames;
  readonly #stop: () => void;

  /** `options` are checked. Throws a TypeError for what are no peers. */
  constructor(peers: Peers, options: MeasureOptions, measurer: Measurer) {
    const { peersMax, sitesMax } = withDefaults(DEFAULTS, { peersMax: options.peersMax, sitesMax: options.sitesMax } as MeasureOptions);
    const names = new BoundedNames(peersMax, sitesMax);
    const unwatch = hostOf(peers).watch({
      attempt({ peer: key, site, outcome: { kind }, durationMs }: AttemptReport) {
        const peer = names.peer(key, kind === "overload" || isFault(kind));
        measurer.attempt(peer, names.site(peer, site), kind, durationMs / MS_PER_S);
      },
      refused: ({ peer, code }) => measurer.refusal(names.peer(peer, true), code),
    });
    const onTransition = ({ type, peer }: PeerTransition): void => measurer.transition(names.peer(peer, type !== "up" && type !== "unblocked"), type);
    const kinds = Object.keys(TRANSITIONS) as TransitionKind[];
    for (const kind of kinds) peers.addEventListener(kind, onTransition);
    this.#peers = peers;
    this.#names = names;
    this.#stop = () => {
      unwatch();
      for (const kind of kinds) peers.removeEventListener(kind, onTransition);
    };
  }

  /** How many peers are held. */
  get count(): number {
    return this.#peers.keys().length;
  }

  /** Those that are named, as they are now; those in trouble first. None after the peers were closed. */
  explain(): PeerExplained[] {
    const known = this.#explainAll();
    known.sort((a, b) => Number(a.state === "open") - Number(b.state === "open") || b.inFlight - a.inFlight || (a.peer < b.peer ? -1 : 1));
    return known.filter(({ peer, state }) => this.#names.peer(peer, state !== "open") !== OTHER);
  }

  /** The sites of a peer that are named and were measured, those that are asked most first. */
  sites({ peer, sites }: PeerExplained): SiteExplained[] {
    const measured = sites.filter(({ samples }) => samples > 0).sort((a, b) => b.samples - a.samples);
    return measured.filter(({ site }) => this.#names.site(peer, site) === site);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #explainAll(): PeerExplained[] {
    try {
      return this.#peers.keys().map((key) => this.#peers.explain(key));
    } catch (error) {
      if (isPeerError(error) && error.code === "PEERS_CLOSED") return [];
      throw error;
    }
  }
}
