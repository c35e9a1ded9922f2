import { Akka } from "./akka.ts";
import { Bertier } from "./bertier.ts";
import { Cassandra } from "./cassandra.ts";
import { Chen } from "./chen.ts";
import { Chitchat } from "./chitchat.ts";
import { ExponentialPhi } from "./exponential-phi.ts";
import { FixedTimeout, WallClockTimeout } from "./fixed-timeout.ts";
import { Holdfast } from "./holdfast.ts";
import type { RuleEntry } from "./rule.ts";
import { Swim } from "./swim.ts";
import { TwoWindows } from "./two-windows.ts";

const beginOurs: RuleEntry["begin"] = (peer) => new Holdfast(peer);

/** Side by side, in the order of the report. */
export const RULES: readonly RuleEntry[] = [
  { name: "fixed 5 s", settings: "5 s since the last beat", begin: () => new FixedTimeout() },
  { name: "exponential φ 8", settings: "window 1000, the reference of docs/spec/peers.md", begin: () => new ExponentialPhi() },
  { name: "Cassandra", settings: "exponential φ 8, window 1000, intervals ≤ 2 s, pause guard 5 s", begin: () => new Cassandra() },
  { name: "chitchat", settings: "silence / mean > 8, window 1000, prior 5 × 5 s, intervals ≤ 10 s", begin: () => new Chitchat() },
  { name: "Akka/Pekko", settings: "normal φ 8, window 1000, σ ≥ 100 ms, acceptable pause 3 s", begin: () => new Akka() },
  {
    name: "SWIM + Lifeguard", settings: "probe 1 s, 3 relays + TCP, suspicion 4 … 24 s, score 0 … 7; a model",
    suits: ({ canBeProbed }) => canBeProbed, begin: (peer) => new Swim(peer),
  },
  { name: "Chen NFD-E", settings: "window 1000, α 1.25 s", begin: () => new Chen() },
  { name: "Bertier", settings: "window 1000, γ 0.1, β 1, φ 4", begin: () => new Bertier() },
  { name: "2W-FD", settings: "windows 1 and 1000, margin 1.25 s", begin: () => new TwoWindows() },
  {
    name: "ours: suspect", settings: "learned tail; within 5.5 s, one mistake a day; asks when late; own pauses ≥ 200 ms", drainsFirst: true, isOurs: true,
    verdict: "suspect", begin: beginOurs,
  },
  {
    name: "ours: down", settings: "within 30 s, one mistake in thirty days; otherwise the same", drainsFirst: true, isOurs: true,
    verdict: "down", begin: beginOurs,
  },
  {
    name: "control: wall clock 5 s", settings: "fixed 5 s on the clock that people set", isControl: true,
    suits: ({ name }) => name === "m-wall-clock", begin: ({ wallJumps }) => new WallClockTimeout(wallJumps),
  },
];
