import { metrics } from "@opentelemetry/api";
import type { Attributes, BatchObservableResult, Meter, Observable } from "@opentelemetry/api";
import { DURATION_BOUNDS_S, MEASURE_RULES, MeasuredPeers, PEER_GAUGES, SITE_GAUGES } from "./measured-peers.ts";
import type { MeasureOptions } from "./measured-peers.ts";
import { checkOptions, having } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import type { Peers } from "./peers.ts";

export interface TelemetryOptions extends MeasureOptions {
  /** What makes the instruments. Default: the global provider's, at the time of the call. */
  readonly meter?: Meter;
}

const RULES: Rules<Required<TelemetryOptions>> = { ...MEASURE_RULES, meter: having("createHistogram", "createCounter", "createObservableGauge", "addBatchObservableCallback") };

/** Methods of requests, by which some sites begin. Source: RFC 9110 §9.3, RFC 5789. */
const METHOD = /^(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) /;

/**
 * Measures what the peers do, from now until it is disposed of. Attributes are bounded: what has no name of its own is
 * counted as `other`. Names of attributes are OpenTelemetry's where its conventions have stable ones. Throws OPTION_INVALID.
 */
export function observePeers(peers: Peers, options: TelemetryOptions = {}): Disposable {
  checkOptions("opentelemetry", options as Required<TelemetryOptions>, RULES);
  const { meter = metrics.getMeter("@holdfast/fetch") } = options;
  const duration = meter.createHistogram("holdfast.peer.attempt.duration", {
    unit: "s", description: "How long attempts took.", advice: { explicitBucketBoundaries: [...DURATION_BOUNDS_S] },
  });
  const refusals = meter.createCounter("holdfast.peer.refusals", { unit: "{attempt}", description: "Attempts that were not admitted." });
  const transitions = meter.createCounter("holdfast.peer.transitions", { unit: "{transition}", description: "What became of peers." });
  const held = meter.createObservableGauge("holdfast.peers", { unit: "{peer}", description: "Peers held." });
  const peerGauges = PEER_GAUGES.map(({ name, unit, help, of }) => ({ of, instrument: meter.createObservableGauge(`holdfast.peer.${name}`, { unit, description: help }) }));
  const siteGauges = SITE_GAUGES.map(({ name, unit, help, of }) => ({ of, instrument: meter.createObservableGauge(`holdfast.peer.${name}`, { unit, description: help }) }));

  // No more of them than names.
  const known = new Map<string, Attributes>();
  const ofPeer = (peer: string): Attributes => {
    let attributes = known.get(peer);
    if (attributes === undefined) known.set(peer, (attributes = attributesOf(peer)));
    return attributes;
  };
  const ofSite = (peer: string, site: string): Attributes => {
    const [, method] = METHOD.exec(site) ?? [];
    return { ...ofPeer(peer), "holdfast.site": site, ...(method === undefined ? {} : { "http.request.method": method }) };
  };
  const measured = new MeasuredPeers(peers, options, {
    attempt(peer, site, outcome, durationS) {
      const attributes: Attributes = { ...ofSite(peer, site), "holdfast.outcome": outcome };
      if (outcome !== "works") attributes["error.type"] = outcome;
      duration.record(durationS, attributes);
    },
    refusal: (peer, code) => refusals.add(1, { ...ofPeer(peer), "error.type": code }),
    transition: (peer, kind) => transitions.add(1, { ...ofPeer(peer), "holdfast.transition": kind }),
  });
  const observe = (result: BatchObservableResult): void => {
    result.observe(held, measured.count);
    for (const peer of measured.explain()) {
      const attributes = ofPeer(peer.peer);
      for (const { instrument, of } of peerGauges) result.observe(instrument, of(peer), attributes);
      for (const site of measured.sites(peer)) for (const { instrument, of } of siteGauges) result.observe(instrument, of(site), ofSite(peer.peer, site.site));
    }
  };
  const observed: Observable[] = [held, ...peerGauges.map(({ instrument }) => instrument), ...siteGauges.map(({ instrument }) => instrument)];
  meter.addBatchObservableCallback(observe, observed);
  return {
    [Symbol.dispose]() {
      meter.removeBatchObservableCallback(observe, observed);
      measured[Symbol.dispose]();
    },
  };
}

/** A peer is a server where its key says so: an origin. */
function attributesOf(peer: string): Attributes {
  const url = peer.includes("://") ? URL.parse(peer) : null;
  if (url === null || url.hostname === "") return { "holdfast.peer": peer };
  const port = url.port === "" ? { "http:": 80, "https:": 443 }[url.protocol] : Number(url.port);
  return { "holdfast.peer": peer, "server.address": url.hostname, ...(port === undefined ? {} : { "server.port": port }) };
}
