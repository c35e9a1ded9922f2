import assert from "node:assert/strict";
import { test } from "node:test";
import { NEIGHBOURS } from "../traces/trace.ts";
import { Akka, DEVIATIONS } from "./akka.ts";
import { Bertier } from "./bertier.ts";
import { Cassandra } from "./cassandra.ts";
import { Chen } from "./chen.ts";
import { Chitchat } from "./chitchat.ts";
import { ExponentialPhi } from "./exponential-phi.ts";
import { FixedTimeout, WallClockTimeout } from "./fixed-timeout.ts";
import { Holdfast } from "./holdfast.ts";
import type { Rule } from "./rule.ts";
import { suspicionNs, Swim } from "./swim.ts";
import { TwoWindows } from "./two-windows.ts";

const S = 1e9;

/** A peer that answers nothing, and the only one. */
const ALONE = { answers: () => Infinity, others: [] };

/** Beats 0, 1, 2 … at these seconds; a gap in the list is a lost one. */
function fed<R extends Rule>(rule: R, arrivals: readonly (number | undefined)[]): R {
  arrivals.forEach((arrival, sequence) => arrival !== undefined && rule.beat(Math.round(arrival * S), sequence, sequence * S));
  return rule;
}

function crosses(rule: Rule, atSeconds: number, toleranceNs = 1000): void {
  const at = rule.suspectsAt(Infinity);
  assert.ok(Math.abs(at - atSeconds * S) <= toleranceNs, `${at / S} s, expected ${atSeconds} s`);
}

test("rules: before the first beat nobody is suspected", () => {
  const rules: Rule[] = [new FixedTimeout(), new ExponentialPhi(), new Cassandra(), new Chitchat(), new Akka(), new Chen(), new Bertier(), new TwoWindows(), new Holdfast(ALONE)];
  for (const rule of rules) assert.equal(rule.suspectsAt(Infinity), Infinity, rule.constructor.name);
});

test("fixed timeout: 5 s after the last beat; on a wall clock a jump is a silence, or none", () => {
  crosses(fed(new FixedTimeout(), [1, 2, 4]), 9);
  crosses(fed(new WallClockTimeout([]), [1]), 6);
  crosses(fed(new WallClockTimeout([{ at: 3 * S, byNs: 100 * S }]), [1]), 3);
  crosses(fed(new WallClockTimeout([{ at: 3 * S, byNs: -100 * S }]), [1]), 106);
  crosses(fed(new WallClockTimeout([{ at: 3 * S, byNs: 100 * S }]), [1, undefined, 4]), 9);
});

test("exponential φ: 8 · ln 10 means of silence", () => {
  crosses(fed(new ExponentialPhi(), [1, 2, 4]), 4 + 8 * 2.302585093 * 1.5);
});

test("Cassandra: the first interval is 2 s, those above 2 s are not learned", () => {
  crosses(fed(new Cassandra(), [1, 2, 5, 6]), 6 + 8 * 2.302585093 * (4 / 3)); // 2, 1 and 1
});

test("Cassandra: a pause above 5 s mutes it for 5 s more, a shorter one does not", () => {
  const rule = fed(new Cassandra(), [1, 2]);
  rule.pause(40 * S, 5 * S);
  crosses(rule, 2 + 8 * 2.302585093 * 1.5);
  rule.pause(60 * S, 6 * S);
  crosses(rule, 65);
});

test("chitchat: 8 means, with a prior of five intervals of 5 s; a death empties the window", () => {
  crosses(fed(new Chitchat(), [1]), 1 + 8 * 5);
  crosses(fed(new Chitchat(), [1, 2, 4]), 4 + (8 * (25 + 3)) / 7);
  crosses(fed(new Chitchat(), [1, 2, 13]), 13 + (8 * (25 + 1)) / 6); // 11 s are too long to learn
  crosses(fed(new Chitchat(), [1, 2, 90]), 90 + 8 * 5);
});

test("Akka: mean + 3 s + as many deviations as φ 8 asks, which are at least 100 ms; an outage is not learned", () => {
  // φ = −log10(e / (1 + e)) = 8 means y · (1.5976 + 0.070566 · y²) = 18.42068 − 1e-8.
  assert.ok(Math.abs(DEVIATIONS * (1.5976 + 0.070566 * DEVIATIONS ** 2) - 18.420681) < 1e-5);
  // 0.75, 1.25: mean 1, deviation 0.25.
  crosses(fed(new Akka(), [1]), 1 + 1 + 3 + 0.25 * DEVIATIONS);
  // 0.75, 1.25, 1: deviation √(0.125 / 3).
  crosses(fed(new Akka(), [1, 2]), 2 + 1 + 3 + 0.2041241452 * DEVIATIONS);
  crosses(fed(new Akka(), [1, 100]), 100 + 1 + 3 + 0.25 * DEVIATIONS);
  crosses(fed(new Akka(), Array.from({ length: 1002 }, (_, k) => 1 + k)), 1002 + 1 + 3 + 0.1 * DEVIATIONS);
});

test("Chen: the mean of arrival − sequence, a period on, plus 1.25 s; lost beats do not matter", () => {
  crosses(fed(new Chen(), [10.1, 11.3]), 12.2 + 1.25);
  crosses(fed(new Chen(), [10.1, undefined, undefined, 13.3]), 14.2 + 1.25);
});

test("Chen: a beat that comes late extends nothing", () => {
  const rule = fed(new Chen(), [10, 11, 12]);
  rule.beat(60 * S, 3);
  // Offsets 10, 10, 10 and 57: the mean is 21.75, beat 4 was expected at 25.75.
  crosses(rule, 27);
});

test("Bertier: the margin is the smoothed delay plus four of its variations", () => {
  crosses(fed(new Bertier(), [10]), 11 + 0.5);
  // Beat 1 was expected at 11: error 11.3 − 11 − 0.5 = −0.2, delay 0.48, variation 0.02; beat 2 is expected at 12.15.
  crosses(fed(new Bertier(), [10, 11.3]), 12.15 + 0.48 + 0.08);
});

test("2W-FD: the later of what the last beat and the last thousand expect", () => {
  crosses(fed(new TwoWindows(), [10, 11.4]), 12.4 + 1.25); // short 12.4, long 12.2
  crosses(fed(new TwoWindows(), [10.4, 11]), 12.2 + 1.25); // short 12, long 12.2
});

test("SWIM: the timeout shrinks from 24 s over 11.381 s to 4 s with confirmations", () => {
  assert.deepEqual([0, 1, 2].map(suspicionNs), [24 * S, 11.381 * S, 4 * S]);
});

test("SWIM: death is four seconds after the first failed probe if others confirm, later if nobody does", () => {
  const peer = (seen: number) => ({ beginsAt: S, neighbours: new Uint8Array(40).fill(seen) });
  // Beat 0 is sent at 1 s and arrives. Probe 1 begins at 2 s and has failed at 3 s.
  crosses(fed(new Swim(peer(NEIGHBOURS.confirmed)), [1.04]), 3 + 4);
  crosses(fed(new Swim(peer(0)), [1.04]), 3 + 24);
  assert.ok(fed(new Swim(peer(NEIGHBOURS.relayed)), [1.04]).suspectsAt(30 * S) >= 30 * S, "relays bring the answer");
});

test("SWIM: an answer refutes, a late one does not", () => {
  const peer = { beginsAt: S, neighbours: new Uint8Array(40).fill(NEIGHBOURS.confirmed) };
  crosses(fed(new Swim(peer), [1.04, undefined, undefined, 4.04]), 6 + 4);
  const late = fed(new Swim(peer), [1.04]);
  late.beat(4.5 * S, 1);
  crosses(late, 7);
});

test("SWIM: probes that nobody sent while the observer stood still fail once", () => {
  const peer = { beginsAt: S, neighbours: new Uint8Array(400).fill(NEIGHBOURS.confirmed) };
  const rule = fed(new Swim(peer), [1.04]);
  rule.pause(100.5 * S, 99 * S);
  // One failure on resuming; the probe that begins at 101 s and the next confirm.
  crosses(rule, 104.5);
});

test("ours: a site of which little is known has 5.5 s; one that was on time a hundred times, less; an answer puts it off", () => {
  const regular = Array.from({ length: 1000 }, (_, at) => 1 + at);
  crosses(fed(new Holdfast(ALONE), [1, 2, 3]), 8.5);
  const [few, many] = [regular.slice(0, 100), regular].map((beats) => fed(new Holdfast(ALONE), beats).suspectsAt(Infinity) - (beats.at(-1) as number) * S) as [number, number];
  assert.ok(many < few && few < 5.5 * S, `${few / S} and ${many / S} s`);
  const answering = fed(new Holdfast({ answers: (at) => (at < 1003 * S ? at + S / 10 : Infinity), others: [] }), regular);
  assert.ok(answering.suspectsAt(Infinity) > (1003 + 1) * S);
});

test("ours: a pause counts from the poll that was asked for, and what waited for it gets up to 100 ms more", () => {
  const crossing = (pauses: readonly (readonly [to: number, lasted: number])[]) => {
    const rule = fed(new Holdfast(ALONE), [1, 2.04]);
    for (const [to, lasted] of pauses) rule.pause(to * S, lasted * S);
    return rule.suspectsAt(Infinity);
  };
  const before = crossing([]);
  assert.equal(crossing([[3.19, 1]]), before, "190 ms late is no pause");
  // It stopped at 3.3 s, polled at 3 s, and had asked for 4 s: 4.5 s are not counted, nor 0.1 s of the wait before.
  assert.equal(crossing([[3.19, 1], [8.5, 5.2]]), before + 4.6 * S);
});

test("ours: while everybody is silent nobody is suspected", () => {
  const beats = Array.from({ length: 100 }, (_, at) => 1 + at);
  const others = [0.3, 0.6, 0.9].map((phase) => Float64Array.from(beats, (at) => Math.round((at + phase) * S)));
  const alone = fed(new Holdfast(ALONE), beats).suspectsAt(Infinity);
  const together = fed(new Holdfast({ answers: () => Infinity, others }), beats).suspectsAt(Infinity);
  assert.ok(together >= alone + 60 * S, `${together / S} s`);
});

test("restarts: ours goes on with what it stored, the time in between does not count; Cassandra holds whom it knew for down", () => {
  const ours = fed(new Holdfast(ALONE), Array.from({ length: 100 }, (_, at) => 1 + at));
  const before = ours.suspectsAt(100.5 * S) === Infinity ? fed(new Holdfast(ALONE), Array.from({ length: 100 }, (_, at) => 1 + at)).suspectsAt(Infinity) : 0;
  ours.restart(160.5 * S, 60 * S);
  crosses(ours, before / S + 60);
  const cassandra = fed(new Cassandra(), [1, 2]);
  cassandra.restart(9 * S);
  crosses(cassandra, 9);
  cassandra.beat(10 * S);
  crosses(cassandra, 10 + 8 * 2.302585093 * 2);
});
