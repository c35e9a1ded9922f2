import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SiteWatch, type SiteId } from "@holdfast/core/peer";
import { RULES } from "./rules/rules.ts";
import type { RuleEntry } from "./rules/rule.ts";
import { PERIOD_NS } from "./traces/trace.ts";

const PEERS = 10_000;
const BEATS = 20;
const LONELY = { beginsAt: 1, neighbours: new Uint8Array(BEATS), wallJumps: [], answers: () => Infinity, others: [] };

/** What one rule keeps for a peer. */
export interface Footprint {
  readonly rule: string;
  /** To two digits: heaps are not the same to the byte in two runs. */
  readonly bytes: number;
}

/** Bytes a peer of every rule: how the heap differs with 10 000 peers of 20 beats each. Ours watches them all with one watch, as a node does. */
export function footprints(): Footprint[] {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = () => {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const entries = RULES.filter(({ isControl, verdict }) => isControl !== true && verdict !== "down");
  return entries.map((entry) => {
    filled(entry, 10); // compiled code and tables are nobody's
    const before = held();
    const rules = filled(entry, PEERS);
    const bytes = (held() - before) / PEERS;
    return { rule: entry.verdict === undefined ? entry.name : "ours", bytes: rules === undefined ? 0 : Number(bytes.toPrecision(2)) };
  });
}

function filled(entry: RuleEntry, peers: number): unknown {
  if (entry.isOurs === true) {
    const watch = new SiteWatch({ maxEntries: peers });
    for (let beat = 0; beat < BEATS; beat++) {
      for (let peer = 0; peer < peers; peer++) watch.recordHeartbeat(`peer ${peer}` as SiteId, at(beat), { sentAt: at(beat), intervalNs: PERIOD_NS });
      watch.scan(at(beat));
    }
    return watch;
  }
  const rules = Array.from({ length: peers }, () => entry.begin(LONELY));
  for (let beat = 0; beat < BEATS; beat++) for (const rule of rules) rule.beat(at(beat), beat, at(beat));
  return rules;
}

function at(beat: number): number {
  return (beat + 1) * PERIOD_NS;
}
