import { experiment } from "./packages/lab/src/deadlines/experiment.ts";
import { TRACES } from "./packages/lab/src/deadlines/traces/traces.ts";
import { RULES } from "./packages/lab/src/deadlines/rules/rules.ts";
const only = process.argv[2];
for (const t of TRACES) {
  if (only && !t.name.startsWith(only)) continue;
  const s = performance.now();
  const r = experiment(t, { seed: "holdfast", clients: Number(process.argv[3] ?? 4) });
  console.log(t.name, (performance.now() - s).toFixed(0) + " ms", r.figures[0]?.requests);
  RULES.forEach((rule, i) => { const f = r.figures[i]!; console.log("  ", rule.name.padEnd(10), "spur", (100 * f.spurious).toFixed(3) + "%", "ratio", f.ratioP50.toFixed(2), f.ratioP99.toFixed(2), "waste", f.wastedP50.toFixed(0), f.wastedP99.toFixed(0), "up/down", f.adaptedUp.toFixed(0), f.adaptedDown.toFixed(0)); });
}
