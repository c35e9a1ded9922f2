import { NS_PER_S } from "@holdfast/core";
import { AdaptiveTimeout } from "./adaptive-timeout.ts";
import { FixedDeadline } from "./fixed-deadline.ts";
import { Holdfast, Reference } from "./holdfast.ts";
import { Linux } from "./linux.ts";
import { QuicPto } from "./quic.ts";
import { Rfc6298 } from "./rfc6298.ts";
import type { RuleEntry } from "./rule.ts";

/** Side by side, in the order of the report. */
export const RULES: readonly RuleEntry[] = [
  { name: "fixed 1 s", settings: "1 s, for every attempt", begin: () => new FixedDeadline(NS_PER_S) },
  { name: "RFC 6298", settings: "mean + 4 × deviation, 1 … 60 s, Karn, doubling", begin: () => new Rfc6298() },
  { name: "Linux", settings: "variance term ≥ 200 ms, quick to rise and slow to fall, 120 s at most, timestamps, doubling", begin: () => new Linux() },
  { name: "QUIC PTO", settings: "mean + max(4 × deviation, 1 ms) + 25 ms, 333 ms at first, doubling", begin: () => new QuicPto() },
  { name: "js-libp2p", settings: "AdaptiveTimeout: average × 1.2, 5 … 60 s, failures count twice", begin: () => new AdaptiveTimeout() },
  { name: "reference", settings: "ours by docs/spec/peers.md §3: mean + 4 × deviation of the first tier with 3 samples, no floor, 100 ms at first, doubling", begin: () => new Reference() },
  { name: "ours", settings: "the engine's defaults: tiers blended, tail, 20 ms … 60 s, 100 ms at first", isOurs: true, begin: () => new Holdfast() },
];
