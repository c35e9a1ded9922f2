/** Two nodes: ann asks whichever of the greeters is well to greet. `holdfast up examples/hello/fleet.ts` */
import { defineFleet, flow, host } from "holdfast";
import * as v from "valibot";

const hello = host("hello", { input: v.string() }, async (name) => `Hello ${name}, from process ${process.pid}`);

const greet = flow("greet", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 5000 },
  (b, { name }) => ({ text: b.host(hello, name) }));

const ask = flow("ask", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 10_000 },
  (b, { name }) => b.call(greet, b.select("greeters"), { name }, { retry: { attempts: 2 } }));

export default defineFleet({
  name: "hello",
  nodes: { ann: { peers: ["bob", "cid"] }, bob: { peers: ["ann"] }, cid: { peers: ["ann"] } },
  groups: { greeters: ["bob", "cid"] },
  flows: [ask, greet],
});
