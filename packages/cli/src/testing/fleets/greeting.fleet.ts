/** A fleet without a job: one greets, the other asks it to, or waits for an approval. */
import { any, defineFleet, flow, host } from "holdfast";

const hello = host("hello", {}, async (name: string) => `Hello ${name}`);

const greet = flow("greet", { input: { name: any<string>() }, output: { text: any<string>() }, deadlineMs: 5_000 },
  (b, { name }) => ({ text: b.host(hello, name) }));

const ask = flow("ask", { input: { name: any<string>() }, output: { text: any<string>() }, deadlineMs: 20_000 },
  (b, { name }) => b.call(greet, b.peer("greeter"), { name }));

const approve = flow("approve", { output: { by: any<string>() }, deadlineMs: "never" },
  (b) => ({ by: b.wait("approval", any<string>()) }));

export default defineFleet({ name: "greeting", nodes: { asker: {}, greeter: {} }, flows: [greet, ask, approve] });
