import assert from "node:assert/strict";
import { test } from "node:test";
import { figuresOf, measure } from "./measure.ts";
import type { Answer, Rule } from "./rules/rule.ts";
import type { RequestTrace } from "./traces/trace.ts";

const MS = 1e6;

/** Requests in ms: sent, how long the answer takes, attempts lost before. */
function trace(requests: readonly (readonly [number, number, number])[], given: Partial<RequestTrace> = {}): RequestTrace {
  const column = (place: 0 | 1) => Float64Array.from(requests, (request) => request[place] * MS);
  return {
    sentAt: column(0), tripNs: column(1), lost: Uint8Array.from(requests, ([, , lost]) => lost), p999Ns: new Float64Array(requests.length).fill(100 * MS),
    site: new Uint8Array(requests.length), from: 0, count: requests.length, steps: [], ...given,
  };
}

/** Waits 50 ms for a first attempt, and twice as long for each further one. Notes what it hears, in ms. */
class Scribe implements Rule {
  readonly heard: unknown[] = [];
  deadlineNs(_site: number, _now: number, retries: number): number {
    return 50 * MS * 2 ** retries;
  }
  timedOut(_site: number, now: number, sentAt: number): void {
    this.heard.push(["timeout", sentAt / MS, now / MS]);
  }
  answered({ now, tripNs, isRetried, isLate, givenUpNs }: Answer): void {
    this.heard.push(["answer", now / MS, tripNs / MS, isRetried, isLate, givenUpNs.map((ns) => ns / MS)]);
  }
}

const cases = [
  { name: "an answer in time", requests: [[0, 30, 0]], heard: [["answer", 30, 30, false, false, []]], spurious: 0, wasted: [] },
  { name: "an answer at the deadline is in time", requests: [[0, 50, 0]], heard: [["answer", 50, 50, false, false, []]], spurious: 0, wasted: [] },
  { name: "a late one: one spurious timeout, however many further attempts", requests: [[0, 400, 0]], heard: [["timeout", 0, 50], ["timeout", 50, 150], ["timeout", 150, 350], ["answer", 400, 400, true, true, []]], spurious: 1, wasted: [] },
  { name: "a lost one is answered by the next attempt, and is not spurious", requests: [[0, 30, 1]], heard: [["timeout", 0, 50], ["answer", 80, 30, true, false, [80]]], spurious: 0, wasted: [50] },
  { name: "lost twice", requests: [[0, 30, 2]], heard: [["timeout", 0, 50], ["timeout", 50, 150], ["answer", 180, 30, true, false, [180, 130]]], spurious: 0, wasted: [150] },
  { name: "requests run beside one another", requests: [[0, 40, 0], [10, 5, 0]], heard: [["answer", 15, 5, false, false, []], ["answer", 40, 40, false, false, []]], spurious: 0, wasted: [] },
] as const;

for (const { name, requests, heard, spurious, wasted } of cases) {
  test(`measure: ${name}`, () => {
    const rule = new Scribe();
    const measured = measure(trace(requests), () => rule);
    assert.deepEqual(rule.heard, heard);
    assert.equal(measured.spurious, spurious);
    assert.deepEqual(measured.wastedNs, wasted.map((ms) => ms * MS));
    assert.deepEqual([...measured.ratios], requests.map(() => 0.5));
  });
}

test("measure: only the requests between the bounds count", () => {
  const measured = measure(trace([[0, 90, 1], [500, 90, 0], [900, 90, 1]], { from: 1, count: 1 }), () => new Scribe());
  assert.deepEqual([measured.requests, measured.spurious, measured.wastedNs], [1, 1, []]);
});

test("measure: a restart loses what is under way, and the rule that does not know of restarts", () => {
  const rules: Scribe[] = [];
  const begin = () => rules[rules.push(new Scribe()) - 1] as Scribe;
  measure(trace([[0, 40, 0], [500, 40, 0]], { restart: { before: 1, asleepNs: 490 * MS } }), begin);
  assert.deepEqual(rules.map(({ heard }) => heard), [[], [["answer", 540, 40, false, false, []]]]);
});

test("measure: the time to adapt to a step", () => {
  const steps = [{ before: 1, to: "longer" as const }, { before: 3, to: "shorter" as const }, { before: 5, to: "shorter" as const }];
  const stepped = trace([[0, 1, 0], [100, 1, 0], [200, 1, 0], [300, 1, 0], [400, 1, 0], [500, 1, 0]], { steps });
  // Deadlines in turn; 100 suits a longer one, 200 a shorter one.
  const deadlines = [50, 50, 150, 150, 999, 999].map((ms) => ms * MS);
  const rule = { deadlineNs: () => deadlines.shift() ?? 0, timedOut() {}, answered() {} };
  const { adaptedUpNs, adaptedDownNs } = measure(stepped, () => rule);
  assert.deepEqual([adaptedUpNs, adaptedDownNs], [[100 * MS], [0, Infinity]]);
});

test("measure: figures of several clients", () => {
  const parts = [1, 3].map((n) => measure(trace(Array.from({ length: n }, (_, at) => [at * 1000, 90, 1] as const)), () => new Scribe()));
  const { requests, spurious, ratioP50, wastedP50, wastedP99, adaptedUp } = figuresOf(parts);
  assert.deepEqual({ requests, spurious, ratioP50, wastedP50, wastedP99, adaptedUp }, { requests: 4, spurious: 0, ratioP50: 0.5, wastedP50: 50, wastedP99: 50, adaptedUp: NaN });
});
