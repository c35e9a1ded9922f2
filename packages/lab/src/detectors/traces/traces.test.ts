import assert from "node:assert/strict";
import { test } from "node:test";
import { isWithin, spanAt } from "./beats.ts";
import { TRACES } from "./traces.ts";

for (const trace of TRACES) {
  test(`traces: ${trace.name} is drawn from its seed, in order, and arrives in no pause`, () => {
    const { answers, ...peer } = trace.peer("s", 1);
    const { answers: same, ...again } = trace.peer("s", 1);
    assert.deepEqual(again, peer);
    for (let at = 5e9; at < 3600e9; at += 60e9) assert.equal(same(at), answers(at));
    assert.equal(answers(peer.diedAt), Infinity);
    assert.notDeepEqual(trace.peer("s", 2).arrivals, peer.arrivals);
    const arrived = peer.arrivals.filter((at) => at !== Infinity);
    assert.ok(arrived.length > (trace.name === "n-churn" ? 0 : 1000));
    assert.ok(arrived.every((at, index) => Number.isInteger(at) && (index === 0 || at >= (arrived[index - 1] as number))));
    assert.ok(arrived.every((at) => !isWithin(peer.pauses, at) && !isWithin(peer.restarts ?? [], at)));
    assert.ok(peer.pauses.every(({ from, to }, index) => from < to && from >= (peer.pauses[index - 1]?.to ?? 0)));
    assert.equal(peer.neighbours.length, peer.arrivals.length);
  });
}

test("traces: as much is lost as they say", () => {
  for (const percent of [1, 5, 20]) {
    const { arrivals } = TRACES.find(({ name }) => name === `b-loss-${percent}`)?.peer("s", 0) ?? { arrivals: [] };
    const lost = [...arrivals].filter((at) => at === Infinity).length / arrivals.length;
    assert.ok(Math.abs(lost - percent / 100) < 0.2 * (percent / 100), `${lost}`);
  }
});

test("traces: the span that holds an instant", () => {
  const spans = [{ from: 1, to: 2 }, { from: 5, to: 9 }, { from: 10, to: 11 }];
  assert.deepEqual([0, 1, 2, 5, 8, 9, 10, 11].map((at) => spanAt(spans, at)?.from), [undefined, 1, undefined, 5, 5, undefined, 10, undefined]);
});
