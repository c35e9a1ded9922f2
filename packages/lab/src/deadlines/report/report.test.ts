import assert from "node:assert/strict";
import { test } from "node:test";
import { experiment } from "../experiment.ts";
import { RULES } from "../rules/rules.ts";
import { mixture999, quantile999 } from "../traces/draw.ts";
import { TRACES } from "../traces/traces.ts";
import { report } from "./report.ts";

const OPTIONS = { seed: "test", clients: 1 };
const results = TRACES.map((trace) => experiment(trace, OPTIONS));
const ours = RULES.findIndex(({ isOurs }) => isOurs === true);

test("report: the same seed gives the same bytes, another one others", () => {
  const files = report(results, OPTIONS);
  assert.equal(files.size, 1 + 2 * TRACES.length);
  for (const [name, text] of files) assert.doesNotMatch(text, /NaN|undefined|Infinity/, name);
  assert.deepEqual(report(TRACES.map((trace) => experiment(trace, OPTIONS)), OPTIONS), files);
  assert.notDeepEqual(experiment(TRACES[0] as never, { ...OPTIONS, seed: "other" }).figures, results[0]?.figures);
});

test("traces: the true percentile is what one request in a thousand exceeds", () => {
  for (const trace of TRACES.filter(({ name }) => ["lognormal", "step", "bimodal", "drift", "loss"].includes(name))) {
    let exceeded = 0;
    let count = 0;
    for (let index = 0; index < 4; index++) {
      const { tripNs, p999Ns } = trace.client("test", index);
      tripNs.forEach((ns, n) => (exceeded += ns > (p999Ns[n] as number) ? 1 : 0));
      count += tripNs.length;
    }
    assert.ok(exceeded / count > 0.0005 && exceeded / count < 0.0017, `${trace.name}: ${exceeded} of ${count}`);
  }
  const one = { medianNs: 1e6, sigma: 0.5 };
  assert.ok(Math.abs(mixture999([{ ...one, share: 1 }]) / quantile999(one) - 1) < 1e-3);
});

test("goal: ours keeps to it where nothing changes at once, with a little room for one client's luck", () => {
  TRACES.forEach(({ name }, place) => {
    if (["step", "restart", "few", "drift"].includes(name)) return;
    const found = results[place]?.figures[ours] ?? assert.fail();
    assert.ok(found.spurious <= 0.001 && found.ratioP50 <= 1.75, `${name}: ${found.spurious}, ${found.ratioP50}`);
  });
});
