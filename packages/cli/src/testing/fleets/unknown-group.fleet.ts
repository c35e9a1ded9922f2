import { any, defineFleet, flow } from "holdfast";

const echo = flow("echo", { input: { x: any<number>() }, output: { x: any<number>() }, deadlineMs: 1_000 }, (_b, { x }) => ({ x }));
const spread = flow("spread", { input: { x: any<number>() }, output: { x: any<number>() }, deadlineMs: 1_000 },
  (b, { x }) => b.call(echo, b.select("nobody", { name: "choose" }), { x }));

export default defineFleet({ name: "unknown-group", nodes: { ann: {}, bob: {} }, flows: [spread, echo] });
