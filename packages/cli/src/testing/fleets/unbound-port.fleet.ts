import { any, defineFleet, flow } from "holdfast";

const loose = flow("loose", { output: { n: any<number>() }, deadlineMs: 1_000 }, () => ({}) as never);

export default defineFleet({ name: "unbound-port", nodes: { ann: {} }, flows: [loose] });
