import type { PeerExplained } from "./peer-explained.ts";
import type { Peers } from "./peers.ts";

export interface PrometheusOptions {
  /** Peers that are named; of the others only how many there are. Default 100. */
  readonly peersMax?: number;
  /** Sites that are named, of each peer. Default 10. */
  readonly sitesMax?: number;
}

interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly of: (peer: PeerExplained) => number;
}

const MS_PER_S = 1000;

const GAUGES: readonly Gauge[] = [
  { name: "holdfast_peer_down", help: "1 = as many failures in a row as make a peer down, and none that worked since.", of: ({ isDown }) => Number(isDown) },
  { name: "holdfast_peer_failures_in_a_row", help: "Failures since the last success.", of: ({ failuresInARow }) => failuresInARow },
  { name: "holdfast_peer_cooldown_seconds", help: "How long failures keep us away yet.", of: ({ cooldownMs }) => cooldownMs / MS_PER_S },
  { name: "holdfast_peer_advised_seconds", help: "How long the peer's advice keeps us away yet.", of: ({ advisedMs }) => advisedMs / MS_PER_S },
  { name: "holdfast_peer_in_flight", help: "Attempts under way.", of: ({ inFlight }) => inFlight },
  { name: "holdfast_peer_retry_tokens", help: "Further attempts that the peer's successes have earned.", of: ({ retryTokens }) => retryTokens },
];

/**
 * All that is known of the peers, in Prometheus' text format. Labels are bounded: those in trouble are named before
 * the others. Source: Prometheus' exposition formats, text format 0.0.4.
 */
export function prometheusText(peers: Peers, { peersMax = 100, sitesMax = 10 }: PrometheusOptions = {}): string {
  const known = peers.keys().map((key) => peers.explain(key));
  known.sort((a, b) => Number(a.state === "open") - Number(b.state === "open") || b.inFlight - a.inFlight || (a.peer < b.peer ? -1 : 1));
  const named = known.slice(0, peersMax);
  const lines = ["# HELP holdfast_peers Peers held.", "# TYPE holdfast_peers gauge", `holdfast_peers ${known.length}`];
  for (const { name, help, of } of GAUGES) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const peer of named) lines.push(`${name}{peer="${label(peer.peer)}"} ${of(peer)}`);
  }
  const sites = named.flatMap(({ peer, sites: all }) => all.filter(({ samples }) => samples > 0).sort((a, b) => b.samples - a.samples).slice(0, sitesMax).map((site) => ({ peer, ...site })));
  for (const [name, help, field] of SITE_GAUGES) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const site of sites) lines.push(`${name}{peer="${label(site.peer)}",site="${label(site.site)}"} ${site[field] / MS_PER_S}`);
  }
  return `${lines.join("\n")}\n`;
}

const SITE_GAUGES = [
  ["holdfast_site_round_trip_seconds", "Smoothed round trip.", "srttMs"],
  ["holdfast_site_deadline_seconds", "Learned deadline.", "deadlineMs"],
] as const;

function label(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
