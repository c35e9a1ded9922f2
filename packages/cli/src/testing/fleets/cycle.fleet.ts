import { any, defineFleet, flow } from "holdfast";
import type { Flow } from "holdfast";

type Turn = Flow<{ readonly x: number }, { readonly x: number }>;

const ports = { input: { x: any<number>() }, output: { x: any<number>() }, deadlineMs: 1_000 };
const one: Turn = flow("one", ports, (b, { x }) => {
  b.map(b.constant([1]), two);
  return { x };
});
const two: Turn = flow("two", ports, (b, { x }) => {
  b.map(b.constant([1]), one);
  return { x };
});

export default defineFleet({ name: "cycle", nodes: { ann: {} }, flows: [one] });
