/** The flows that the engine's figures run: the smallest that do what each figure says. */
import { any, flow, pure } from "@holdfast/core";

const double = pure("double", { version: 1 }, (n: number) => n * 2);

/** One pure operation. */
export const doubled = flow("doubled", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 },
  (b, { n }) => ({ n: b.pure(double, n) }));

/** One call to the peer `callee`. */
export const ask = flow("ask", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 },
  (b, { n }) => ({ n: b.call(doubled, b.peer("callee"), { n }).n }));
