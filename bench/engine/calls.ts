/**
 * One call at a time to a node in another process, over TLS on loopback: `run` of a flow that calls a flow with one pure
 * operation. Compared with a bare ping-pong of as many bytes over a TLS socket between the same two processes; with
 * durability, also with a bare store that commits the caller's rows for one waiter.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { type Batch, createNode, type Link, type Node, openSqliteStore, temporaryIdentity, tlsTransport, type Transport } from "@holdfast/host";
import { type BenchOptions, type Figure, figure, interleave, median, percentile, rounds, scratchDirectory } from "../harness.ts";
import { type CalleeReady, PLAN_BYTES } from "./callee.ts";
import { ask } from "./flows.ts";
import { recordingStore } from "./recording-store.ts";

const TARGET_RATIO = 2;
/** Until then V8 still compiles what a call runs, beside the call, on the same two cores: it shows in p99. Measured. */
const WARM_UP_CALLS = 20_000;
/** Commits on the way of a durable call: the request at the caller, the reply at the callee, the result at the caller. */
const COMMITS_ON_THE_WAY = 3;

export async function measureCalls(options: BenchOptions): Promise<Figure[]> {
  const calls = options.quick ? 1000 : 4000;
  await using plain = await pair(null);
  using scratch = scratchDirectory();
  await using durable = await pair(scratch.path);
  const bytes = await plain.bytesOfCall();
  await using bare = await pingPong(plain.ready, bytes);
  for (let at = 0; at < WARM_UP_CALLS; at++) await plain.call();
  options.note(`a call takes ${bytes.question} bytes there and ${bytes.answer} back`);

  const p99: Record<"call" | "bare", number[]> = { call: [], bare: [] };
  const timed = async (count: number, name: "call" | "bare" | undefined, work: () => Promise<unknown>): Promise<number> => {
    const samples = await latencies(count, work);
    if (name !== undefined) p99[name].push(percentile(samples, 0.99));
    return percentile(samples, 0.5);
  };
  const p50 = await interleave(rounds(options), {
    call: () => timed(calls, "call", plain.call),
    bare: () => timed(calls, "bare", bare.ask),
    durable: () => timed(calls / 4, undefined, durable.call),
    commit: async () => median(await storeAlone(durable.batches, calls / 4)),
  });

  const comparison = `a bare TLS ping-pong of ${bytes.question} and ${bytes.answer} bytes`;
  const ratioOf = (name: string, value: number, other: number): Figure => figure({
    figure: `call between two processes, ${name}`, value, unit: "µs", comparison, other, target: `≤ ${TARGET_RATIO} ×`, met: value <= TARGET_RATIO * other,
  });
  const bound = median(p50.call) + COMMITS_ON_THE_WAY * median(p50.commit);
  return [
    ratioOf("p50", median(p50.call), median(p50.bare)),
    ratioOf("p99", median(p99.call.slice(1)), median(p99.bare.slice(1))),
    figure({
      figure: "the same, durable on both sides, p50", value: median(p50.durable), unit: "µs",
      comparison: `the call above + ${COMMITS_ON_THE_WAY} × a bare commit for one waiter (${Math.round(median(p50.commit))} µs)`, other: bound,
      target: "≤ 1 ×", met: median(p50.durable) <= bound,
    }),
  ];
}

async function latencies(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let at = 0; at < count; at++) {
    const startedAt = performance.now();
    await work();
    samples.push((performance.now() - startedAt) * 1000);
  }
  return samples;
}

interface Pair extends AsyncDisposable {
  readonly ready: CalleeReady;
  readonly call: () => Promise<unknown>;
  /** What the caller committed so far, if it is durable. */
  readonly batches: readonly Batch[];
  bytesOfCall(): Promise<{ question: number; answer: number }>;
}

/** A caller here, a callee in another process; durable below `directory`, or null. */
async function pair(directory: string | null): Promise<Pair> {
  const child = fork(join(import.meta.dirname, "callee.ts"), [directory === null ? "" : join(directory, "callee")], { execArgv: process.execArgv });
  const [ready] = (await once(child, "message")) as [CalleeReady];
  const counts = { question: 0, answer: 0 };
  const batches: Batch[] = [];
  const store = directory === null ? undefined : recordingStore(await openSqliteStore(join(directory, "caller", "store")), batches);
  const node = await createNode(
    {
      name: "caller", dataDir: directory === null ? null : join(directory, "caller"), listen: null, flows: [ask],
      peers: { callee: { id: ready.id, addresses: ready.addresses } },
    },
    { transports: (identity) => [counting(tlsTransport(identity), counts)], ...(store === undefined ? {} : { store }) },
  );
  let n = 0;
  const call = (): Promise<unknown> => node.run(ask, { n: n++ });
  await call();
  return {
    ready, call, batches,
    async bytesOfCall() {
      const rest = 500; // as numbers grow, so do the envelopes
      for (let at = 0; at < rest; at++) await call();
      counts.question = counts.answer = 0;
      for (let at = 0; at < 100; at++) await call();
      return { question: Math.round(counts.question / 100), answer: Math.round(counts.answer / 100) };
    },
    [Symbol.asyncDispose]: () => end(node, child),
  };
}

async function end(node: Node, child: ChildProcess): Promise<void> {
  await node.close();
  child.disconnect();
  await once(child, "exit");
}

/** Counts the bytes of frames in both directions. */
function counting(transport: Transport, counts: { question: number; answer: number }): Transport {
  return {
    ...transport,
    async dial(address, peer, signal): Promise<Link> {
      const link = await transport.dial(address, peer, signal);
      const send = link.send.bind(link);
      const open = link.open.bind(link);
      return Object.assign(link, {
        send: (frame: Uint8Array) => ((counts.question += frame.length), send(frame)),
        open: (handlers: Parameters<Link["open"]>[0]) => open({
          onFrame: (body) => ((counts.answer += body.length + 4), handlers.onFrame(body)),
          onBurstEnd: () => handlers.onBurstEnd(),
          onClose: (error) => handlers.onClose(error),
        }),
      });
    },
  };
}

/** A question and its answer over a bare TLS socket. */
async function pingPong({ tlsPort }: CalleeReady, bytes: { question: number; answer: number }): Promise<AsyncDisposable & { ask: () => Promise<void> }> {
  const { keyPem, certificatePem } = temporaryIdentity();
  const socket: TLSSocket = connect({ host: "127.0.0.1", port: tlsPort, key: keyPem, cert: certificatePem, minVersion: "TLSv1.3", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  socket.setNoDelay(true);
  const plan = Buffer.alloc(PLAN_BYTES);
  plan.writeUInt32BE(bytes.question, 0);
  plan.writeUInt32BE(bytes.answer, 4);
  socket.write(plan);
  await once(socket, "data");

  const question = Buffer.alloc(bytes.question);
  let missing = 0;
  let answered = (): void => undefined;
  socket.on("data", (chunk: Buffer) => {
    missing -= chunk.length;
    if (missing <= 0) answered();
  });
  return {
    ask: () => new Promise((resolve) => {
      missing = bytes.answer;
      answered = resolve;
      socket.write(question);
    }),
    async [Symbol.asyncDispose]() {
      socket.destroy();
    },
  };
}

/** Latencies of a bare store that commits the caller's rows again, one batch for one waiter at a time. */
async function storeAlone(batches: readonly Batch[], count: number): Promise<number[]> {
  using scratch = scratchDirectory();
  const store = await openSqliteStore(join(scratch.path, "store"));
  await store.claim("bench");
  await store.load();
  let position = 0;
  const samples = await latencies(count, () => store.commit({ ...batches[position % batches.length]!, position: ++position }));
  await store.close();
  return samples;
}
