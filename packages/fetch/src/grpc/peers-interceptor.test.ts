import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { credentials, Metadata, Server, ServerCredentials, makeGenericClientConstructor, status as Status } from "@grpc/grpc-js";
import type {
  CallOptions, Client, ClientDuplexStream, ClientReadableStream, ClientUnaryCall, ClientWritableStream, Interceptor, ServerDuplexStream, ServerReadableStream,
  ServerUnaryCall, ServerWritableStream, ServiceError, UntypedServiceImplementation, sendUnaryData,
} from "@grpc/grpc-js";
import { ATTEMPT_CHANNEL, isPeerError, openPeers } from "../mod.ts";
import type { AttemptReport, DeadlineExceededError, Peers, PeersOptions } from "../mod.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { hostOf } from "../peers-host.ts";
import { CHANNEL_OPTIONS, idempotentMethods, peersInterceptor } from "./peers-interceptor.ts";
import type { GrpcOptions } from "./peers-interceptor.ts";

/** Patient, whatever they learn: a busy machine is no slow peer. */
const open = (options: PeersOptions = {}): Peers => openPeers({ deadlineFloorMs: 60_000, ...options });

type Message = Readonly<Record<string, unknown>>;
type Fault = Error & { readonly code: Status; readonly retryAfterMs?: number; readonly details: string };

const encode = (message: Message): Buffer => Buffer.from(JSON.stringify(message));
const decode = (bytes: Buffer): Message => {
  const message = JSON.parse(bytes.toString()) as Message;
  if (message["isGarbled"] === true) throw new Error("garbled");
  return message;
};

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return { path: `/test.Items/${name}`, requestStream, responseStream, requestSerialize: encode, requestDeserialize: decode, responseSerialize: encode, responseDeserialize: decode };
}

const ITEMS = { get: method("Get", false, false), list: method("List", false, true), upload: method("Upload", true, false), chat: method("Chat", true, true) };
const ItemsClient = makeGenericClientConstructor(ITEMS, "Items");

interface Items extends Client {
  get(request: Message, metadata: Metadata, options: CallOptions, done: (error: ServiceError | null, value?: Message) => void): ClientUnaryCall;
  list(request: Message, options?: CallOptions): ClientReadableStream<Message>;
  upload(done: (error: ServiceError | null, value?: Message) => void): ClientWritableStream<Message>;
  chat(): ClientDuplexStream<Message, Message>;
}

type Get = (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>) => void;

interface Served {
  readonly target: string;
  readonly server: Server;
}

async function serve(t: TestContext, handlers: UntypedServiceImplementation, port = 0): Promise<Served> {
  const server = new Server();
  server.addService(ITEMS, handlers);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, chosen) => (error === null ? resolve(chosen) : reject(error)));
  });
  t.after(() => server.forceShutdown());
  return { target: `127.0.0.1:${bound}`, server };
}

function connect(t: TestContext, target: string, interceptors: Interceptor[]): Items {
  const client = new ItemsClient(target, credentials.createInsecure(), { ...CHANNEL_OPTIONS, interceptors });
  t.after(() => client.close());
  return client as unknown as Items;
}

/** A server, and a client of it through peers. */
async function setUp(t: TestContext, handlers: UntypedServiceImplementation, peers: Peers, options?: GrpcOptions): Promise<Items & { readonly target: string }> {
  const { target } = await serve(t, handlers);
  return Object.assign(connect(t, target, [peersInterceptor(peers, options)]), { target });
}

function get(client: Items, request: Message = {}, options: CallOptions = {}): Promise<Message> {
  return new Promise((resolve, reject) => {
    client.get(request, new Metadata(), options, (error, value) => (error === null ? resolve(value as Message) : reject(error)));
  });
}

const faultOf = async (promise: Promise<unknown>): Promise<Fault> => promise.then(() => assert.fail("it succeeded"), (error: Fault) => error);

/** How it went, of the error's `cause`. */
function causeOf(fault: Fault): string {
  assert.ok(isPeerError(fault.cause), `${fault.message} has a cause of ours`);
  return fault.cause.code;
}

function trailers(fields: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return metadata;
}

function reportsOf(t: TestContext): AttemptReport[] {
  const reports: AttemptReport[] = [];
  const listen = (message: unknown): void => void reports.push(message as AttemptReport);
  subscribe(ATTEMPT_CHANNEL, listen);
  t.after(() => unsubscribe(ATTEMPT_CHANNEL, listen));
  return reports;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

test("grpc: a call passes through, is learned from, and the peer is the channel's target", async (t) => {
  const peers = open();
  const reports = reportsOf(t);
  const client = await setUp(t, { get: ((call, done) => done(null, { got: call.request })) satisfies Get }, peers);
  for (let n = 0; n < 8; n++) assert.deepEqual(await get(client, { n }), { got: { n } });
  assert.deepEqual(peers.keys(), [client.target]);
  const { sites, inFlight } = peers.explain(client.target);
  assert.deepEqual(sites.map(({ site, samples }) => [site, samples]), [["/test.Items/Get", 8]]);
  assert.equal(inFlight, 0);
  assert.deepEqual(reports.map(({ peer, site, attempt, outcome }) => ({ peer, site, attempt, kind: outcome.kind }))[7], { peer: client.target, site: "/test.Items/Get", attempt: 1, kind: "works" });
});

test("grpc: the key is the user's, a name or made of the target", async (t) => {
  const peers = open();
  const { target } = await serve(t, { get: ((_call, done) => done(null, {})) satisfies Get });
  await get(connect(t, target, [peersInterceptor(peers, { peer: "items" })]));
  await get(connect(t, `dns:///${target}`, [peersInterceptor(peers, { peer: (name) => `of ${name}` })]));
  assert.deepEqual(peers.keys(), ["items", `of ${target}`]);
});

test("grpc: a peer that fails is cut off before anything is sent, and tried again", async (t) => {
  let isUp = false;
  let asked = 0;
  const clock = new VirtualClock();
  const peers = open({ clock });
  const client = await setUp(t, {
    get: ((_call, done) => {
      asked++;
      done(isUp ? null : { code: Status.UNAVAILABLE, details: "not now" }, {});
    }) satisfies Get,
  }, peers);
  for (let call = 0; call < 5; call++) assert.equal((await faultOf(get(client))).details, "not now");
  const fault = await faultOf(get(client));
  assert.equal(fault.code, Status.UNAVAILABLE);
  assert.equal(causeOf(fault), "PEER_COOLING_DOWN");
  assert.ok((fault.retryAfterMs as number) > 0);
  assert.equal(asked, 5);
  isUp = true;
  await clock.advance(fault.retryAfterMs as number);
  await get(client);
  const { isDown, inFlight, probes } = peers.explain(client.target);
  assert.deepEqual({ isDown, inFlight, probes }, { isDown: false, inFlight: 0, probes: 0 });
});

test("grpc: policy refuses, and so do peers that are closed", async (t) => {
  const { target } = await serve(t, {});
  const blocked = open({ block: [target] });
  const client = connect(t, target, [peersInterceptor(blocked)]);
  assert.equal(causeOf(await faultOf(get(client))), "PEER_BLOCKED");
  blocked.close();
  assert.equal(causeOf(await faultOf(get(client))), "PEERS_CLOSED");
  const [error] = (await once(client.list({}), "error")) as [Fault];
  assert.equal(causeOf(error), "PEERS_CLOSED");
});

test("grpc: what each status says of the peer", async (t) => {
  const peers = open({ failureThreshold: 100 });
  const reports = reportsOf(t);
  const client = await setUp(t, { get: ((call, done) => done({ code: call.request["code"] as Status, details: "" })) satisfies Get }, peers);
  const kinds: Record<string, string> = {};
  for (let code = 1; code <= 16; code++) {
    assert.equal((await faultOf(get(client, { code }))).code, code);
    kinds[Status[code] as string] = reports.at(-1)?.outcome.kind as string;
  }
  assert.deepEqual(kinds, {
    CANCELLED: "reset", UNKNOWN: "server-error", INVALID_ARGUMENT: "works", DEADLINE_EXCEEDED: "server-error", NOT_FOUND: "works", ALREADY_EXISTS: "works",
    PERMISSION_DENIED: "works", RESOURCE_EXHAUSTED: "overload", FAILED_PRECONDITION: "works", ABORTED: "works", OUT_OF_RANGE: "works", UNIMPLEMENTED: "works",
    INTERNAL: "server-error", UNAVAILABLE: "server-error", DATA_LOSS: "server-error", UNAUTHENTICATED: "works",
  });
});

test("grpc: what our side cannot send is no fault of the peer; an answer that cannot be read is", async (t) => {
  const peers = open();
  const reports = reportsOf(t);
  const client = await setUp(t, { get: ((_call, done) => done(null, { isGarbled: true })) satisfies Get }, peers);
  assert.equal((await faultOf(get(client, { big: 1n }))).code, Status.INTERNAL);
  assert.equal((await faultOf(get(client))).code, Status.INTERNAL);
  const closed = connect(t, client.target, [peersInterceptor(peers, { peer: "closed" })]);
  closed.close();
  assert.equal((await faultOf(get(closed))).code, Status.UNAVAILABLE);
  assert.deepEqual(reports.map(({ outcome }) => outcome.kind), ["local", "failed", "local"]);
});

test("grpc: nobody listens, no address: both are the peer's failures", async (t) => {
  const peers = open();
  const reports = reportsOf(t);
  const { target, server } = await serve(t, {});
  server.forceShutdown();
  const client = connect(t, target, [peersInterceptor(peers)]);
  assert.equal((await faultOf(get(client))).code, Status.UNAVAILABLE);
  assert.equal(reports[0]?.outcome.kind, "refused");
  assert.equal(peers.explain(target).sites[0]?.samples, 0, "no answer, no round trip");
});

/** Takes no call, and says when to come back. */
function pushingBack(text: string, onAsked: () => void): UntypedServiceImplementation {
  const get: Get = (_call, done) => {
    onAsked();
    done({ code: Status.UNAVAILABLE, details: "busy", metadata: trailers({ "grpc-retry-pushback-ms": text }) });
  };
  return { get };
}

test("grpc: a pushback is everybody's advice, and no longer than a cooldown", async (t) => {
  for (const { text, atMostMs } of [{ text: "2000", atMostMs: 3000 }, { text: "1000000000000", atMostMs: 90_000 }]) {
    const clock = new VirtualClock();
    const peers = open({ clock });
    let asked = 0;
    const client = await setUp(t, pushingBack(text, () => asked++), peers, { retryable: () => true, backoffMaxMs: 1 });
    assert.equal((await faultOf(get(client))).details, "busy");
    const other = connect(t, client.target, [peersInterceptor(peers)]);
    const fault = await faultOf(get(other));
    assert.equal(causeOf(fault), "PEER_ADVISED_TO_WAIT");
    assert.ok((fault.retryAfterMs as number) >= 2000 && (fault.retryAfterMs as number) <= atMostMs, `${text}: ${fault.retryAfterMs}`);
    assert.equal(asked, 1);
    assert.equal(peers.explain(client.target).failuresInARow, 0);
  }
});

test("grpc: a pushback that is negative or garbage means never this call, and keeps nobody else away", async (t) => {
  for (const text of ["-1", "soon", ""]) {
    const peers = open();
    let asked = 0;
    const client = await setUp(t, pushingBack(text, () => asked++), peers, { retryable: () => true, backoffBaseMs: 1 });
    assert.equal((await faultOf(get(client))).details, "busy");
    assert.equal(asked, 1, JSON.stringify(text));
    assert.equal(peers.explain(client.target).retryAfterMs, 0);
  }
});

/** Fails so many times, then answers with what it was told of earlier attempts. */
function flaky(failures: number): Get {
  return (call, done) => (failures-- > 0 ? done({ code: Status.UNAVAILABLE, details: "not now" }) : done(null, { before: call.metadata.get("grpc-previous-rpc-attempts") }));
}

test("grpc: only methods that are said to be repeatable are repeated", async (t) => {
  const peers = open();
  const once = await setUp(t, { get: flaky(1) }, peers);
  assert.equal((await faultOf(get(once))).details, "not now");
  const repeated = await setUp(t, { get: flaky(2) }, peers, { retryable: (path) => path === "/test.Items/Get", backoffBaseMs: 1 });
  assert.deepEqual(await get(repeated), { before: ["2"] });
  const tired = await setUp(t, { get: flaky(3) }, peers, { retryable: () => true, backoffBaseMs: 1 });
  assert.equal((await faultOf(get(tired))).details, "not now");
  const service = { get: { ...ITEMS.get, options: { idempotency_level: "NO_SIDE_EFFECTS" } }, list: ITEMS.list };
  const isIdempotent = idempotentMethods(service);
  assert.deepEqual([isIdempotent("/test.Items/Get"), isIdempotent("/test.Items/List")], [true, false]);
});

test("grpc: retries come out of the peer's one budget", async (t) => {
  const peers = open({ retryReserve: 0 });
  const client = await setUp(t, { get: flaky(1) }, peers, { retryable: () => true, backoffBaseMs: 1 });
  assert.equal((await faultOf(get(client))).details, "not now");
  const { target, server } = await serve(t, {});
  server.forceShutdown();
  const fault = await faultOf(get(connect(t, target, [peersInterceptor(peers, { retryable: () => true, backoffBaseMs: 1 })])));
  assert.equal(causeOf(fault), "BUDGET_EXHAUSTED");
  assert.match(fault.details, /^No connection established/);
});

test("grpc: no other attempt once the caller saw the beginning of an answer", async (t) => {
  let asked = 0;
  const client = await setUp(t, {
    get: ((call, done) => {
      asked++;
      call.sendMetadata(trailers({ begun: "yes" }));
      done({ code: Status.UNAVAILABLE, details: "not now" });
    }) satisfies Get,
  }, open(), { retryable: () => true, backoffBaseMs: 1 });
  const seen: unknown[] = [];
  await faultOf(new Promise((resolve, reject) => {
    client.get({}, new Metadata(), {}, (error) => (error === null ? resolve(0) : reject(error))).on("metadata", (metadata: Metadata) => seen.push(metadata.get("begun")));
  }));
  assert.deepEqual(seen, [["yes"]]);
  assert.equal(asked, 1);
});

test("grpc: the peer is told the sooner of the learned deadline and the caller's", async (t) => {
  const peers = open({ deadlineInitialMs: 5000, deadlineFloorMs: 3000 });
  const client = await setUp(t, { get: ((call, done) => done(null, { leftMs: Number(call.getDeadline()) - Date.now() })) satisfies Get }, peers);
  const leftMs = async (deadlineMs?: number): Promise<number> => (await get(client, {}, deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }))["leftMs"] as number;
  const learned = await leftMs();
  assert.ok(learned > 0 && learned <= 5000, `learned: ${learned}`);
  assert.ok((await leftMs(3_600_000)) <= 5000, "the caller's is later");
  const own = connect(t, client.target, [peersInterceptor(peers, { deadline: "none" })]);
  assert.ok(((await get(own, {}, { deadline: Date.now() + 3_600_000 }))["leftMs"] as number) > 3_000_000, "the caller's alone");
  assert.equal((await get(own))["leftMs"], null, "none at all: JSON has no Infinity");
});

test("grpc: a peer that hangs is given up after the learned deadline, which is its fault; the call is cancelled there, too", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  let isCancelled = false;
  let isAsked = false;
  const client = await setUp(t, {
    get: ((call) => {
      isAsked = true;
      call.on("cancelled", () => (isCancelled = true));
    }) satisfies Get,
  }, peers);
  const fault = faultOf(get(client));
  await until(() => isAsked);
  await clock.advance(10_000);
  assert.equal((await fault).code, Status.DEADLINE_EXCEEDED);
  assert.equal((((await fault).cause as DeadlineExceededError)).deadline, "learned");
  await until(() => isCancelled);
  assert.equal(peers.explain(client.target).failuresInARow, 1);
  await until(() => clock.timers === 0);
});

test("grpc: the end of the caller's own deadline is the caller's, and one that is over sends nothing", async (t) => {
  const peers = open();
  let asked = 0;
  const client = await setUp(t, { get: (() => void asked++) satisfies Get }, peers);
  const fault = await faultOf(get(client, {}, { deadline: Date.now() + 60 }));
  assert.equal(fault.code, Status.DEADLINE_EXCEEDED);
  assert.equal((fault.cause as DeadlineExceededError).deadline, "total");
  const before = asked;
  assert.equal((await faultOf(get(client, {}, { deadline: Date.now() - 1 }))).code, Status.DEADLINE_EXCEEDED);
  assert.equal(asked, before);
  assert.equal(peers.explain(client.target).inFlight, 0);
});

test("grpc: who ends a call at its deadline, does so for it: the library and the peer leave it to us to say whose it was", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  let isCancelled = false;
  const client = await setUp(t, {
    get: ((call, done) => {
      if (call.request["hangs"] === true) call.on("cancelled", () => (isCancelled = true));
      else done(null, {});
    }) satisfies Get,
  }, peers);
  await get(client);
  let ended: Fault | undefined;
  const call = faultOf(get(client, { hangs: true }, { deadline: Date.now() + 300 })).then((fault) => (ended = fault));
  await until(() => isCancelled);
  for (let n = 0; n < 20; n++) await turn();
  assert.equal(ended, undefined);
  await clock.advance(300);
  assert.equal(((await call).cause as DeadlineExceededError).deadline, "total");
});

test("grpc: a call within another that was cancelled is not attempted again", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  let asked = 0;
  const inner = await setUp(t, {
    get: ((_call, done) => {
      asked++;
      done({ code: Status.UNAVAILABLE, details: "not now" });
    }) satisfies Get,
  }, peers, { retryable: () => true });
  let fault: Promise<Fault> | undefined;
  let isCancelled = false;
  const { target } = await serve(t, {
    get: ((parent) => {
      fault = faultOf(get(inner, {}, { parent }));
      parent.on("cancelled", () => (isCancelled = true));
    }) satisfies Get,
  });
  const call = connect(t, target, []).get({}, new Metadata(), {}, () => {});
  await until(() => asked === 1 && clock.timers === 1 && peers.explain(inner.target).inFlight === 0);
  call.cancel();
  await until(() => isCancelled);
  await clock.advance(200);
  assert.equal((await (fault as Promise<Fault>)).code, Status.CANCELLED);
  assert.equal(asked, 1);
});

test("grpc: the caller's cancel is nobody's fault, and ends a wait at once", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  let asked = 0;
  const client = await setUp(t, {
    get: ((call, done) => {
      asked++;
      if (call.request["fails"] === true) done({ code: Status.UNAVAILABLE, details: "not now" });
    }) satisfies Get,
  }, peers, { retryable: () => true });
  const cancelled = async (request: Message, whenAsked: number): Promise<Fault> => {
    let call: ClientUnaryCall | undefined;
    const fault = faultOf(new Promise((resolve, reject) => {
      call = client.get(request, new Metadata(), {}, (error) => (error === null ? resolve(0) : reject(error)));
    }));
    await until(() => asked === whenAsked && (request["fails"] !== true || peers.explain(client.target).inFlight === 0));
    call?.cancel();
    return fault;
  };
  assert.equal((await cancelled({}, 1)).code, Status.CANCELLED);
  assert.equal(peers.explain(client.target).failuresInARow, 0);
  assert.equal((await cancelled({ fails: true }, 2)).code, Status.CANCELLED);
  assert.equal(peers.explain(client.target).failuresInARow, 1);
  assert.equal(asked, 2);
  await until(() => clock.timers === 0);
});

test("grpc: a call that is made within another has no longer than that one, and ends with it, which is nobody's fault", async (t) => {
  const peers = open();
  let isAsked = false;
  const inner = await setUp(t, {
    get: ((call, done) => {
      isAsked = call.request["hangs"] === true;
      if (!isAsked) done(null, { leftMs: Number(call.getDeadline()) - Date.now() });
    }) satisfies Get,
  }, peers, { retryable: () => true });
  let fault: Promise<Fault> | undefined;
  const { target } = await serve(t, {
    get: ((parent, done) => {
      const asked = get(inner, parent.request, { parent });
      if (parent.request["hangs"] === true) fault = faultOf(asked);
      else asked.then((value) => done(null, value), done);
    }) satisfies Get,
  });
  const outer = connect(t, target, []);
  assert.ok(((await get(outer, {}, { deadline: Date.now() + 2000 }))["leftMs"] as number) <= 2000);
  const call = outer.get({ hangs: true }, new Metadata(), {}, () => {});
  await until(() => isAsked);
  call.cancel();
  await until(() => fault !== undefined);
  assert.equal((await (fault as Promise<Fault>)).code, Status.CANCELLED);
  const { failuresInARow, inFlight } = peers.explain(inner.target);
  assert.deepEqual({ failuresInARow, inFlight }, { failuresInARow: 0, inFlight: 0 });
});

test("grpc: a server that dies is left alone, and found again when it is back", async (t) => {
  const peers = open({ cooldownBaseMs: 10 });
  const works: Get = (_call, done) => done(null, {});
  const first = await serve(t, { get: works });
  const client = connect(t, first.target, [peersInterceptor(peers)]);
  await get(client);
  first.server.forceShutdown();
  while (!peers.explain(first.target).isDown) await faultOf(get(client));
  await serve(t, { get: works }, Number(first.target.split(":")[1]));
  while (peers.explain(first.target).isDown) {
    await get(client).catch(() => {});
    await turn();
  }
  await get(client);
});

const COUNT = 200;
const range = Array.from({ length: COUNT }, (_, n) => n);

async function allOf(stream: AsyncIterable<Message>): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

function streams(): UntypedServiceImplementation {
  return {
    get: ((call, done) => done(null, call.request)) satisfies Get,
    async list(call: ServerWritableStream<Message, Message>) {
      for (const n of range) if (!call.write({ n })) await once(call, "drain");
      call.end();
    },
    upload(call: ServerReadableStream<Message, Message>, done: sendUnaryData<Message>) {
      let sum = 0;
      call.on("data", ({ n }: { n: number }) => (sum += n));
      call.on("end", () => done(null, { sum }));
    },
    chat(call: ServerDuplexStream<Message, Message>) {
      call.on("data", (message: Message) => call.write({ echo: message["n"] }));
      call.on("end", () => call.end());
    },
  };
}

test("grpc: streams of all kinds pass through as they are", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  const client = await setUp(t, streams(), peers);
  assert.deepEqual(await allOf(client.list({})), range.map((n) => ({ n })));

  const sum = await new Promise<unknown>((resolve, reject) => {
    const upload = client.upload((error, value) => (error === null ? resolve(value?.["sum"]) : reject(error)));
    for (const n of range) upload.write({ n });
    upload.end();
  });
  assert.equal(sum, (COUNT * (COUNT - 1)) / 2);

  const chat = client.chat();
  for (const n of range) chat.write({ n });
  chat.end();
  assert.deepEqual(await allOf(chat), range.map((n) => ({ echo: n })));

  const { inFlight, failuresInARow, sites } = peers.explain(client.target);
  assert.deepEqual({ inFlight, failuresInARow }, { inFlight: 0, failuresInARow: 0 });
  assert.deepEqual(sites.map(({ site, samples }) => [site, samples]), [["/test.Items/List", 0], ["/test.Items/Upload", 0], ["/test.Items/Chat", 0]], "how long a stream takes teaches nothing");
  await until(() => clock.timers === 0);
});

test("grpc: who does not read a stream is not sent all of it", async (t) => {
  const total = 2000;
  let sent = 0;
  const client = await setUp(t, {
    async list(call: ServerWritableStream<Message, Message>) {
      const padding = "x".repeat(20_000);
      for (; sent < total; sent++) if (!call.write({ n: sent, padding })) await once(call, "drain");
      call.end();
    },
  }, open());
  const stream = client.list({});
  stream.once("readable", () => {});
  await until(() => stream.readableLength >= stream.readableHighWaterMark);
  for (let n = 0; n < 200; n++) await turn();
  assert.ok(stream.readableLength <= stream.readableHighWaterMark + 1, `${stream.readableLength} messages are held`);
  assert.ok(sent < total, `${sent} are sent`);
  assert.equal((await allOf(stream)).length, total);
});

test("grpc: a stream that breaks off is a failure, one that the caller ends is none", async (t) => {
  const peers = open({ failureThreshold: 2 });
  const reports = reportsOf(t);
  const client = await setUp(t, {
    list(call: ServerWritableStream<Message, Message>) {
      call.write({ n: 0 });
      if (call.request["breaks"] === true) call.emit("error", { code: Status.UNAVAILABLE, details: "broken" });
    },
  }, peers);
  for (let n = 0; n < 3; n++) {
    const cancelled = client.list({});
    await once(cancelled, "data");
    cancelled.cancel();
    await once(cancelled, "error");
  }
  assert.equal(peers.explain(client.target).failuresInARow, 0);
  const broken = client.list({ breaks: true });
  broken.resume();
  const [error] = (await once(broken, "error")) as [Fault];
  assert.equal(error.details, "broken");
  assert.equal(peers.explain(client.target).failuresInARow, 1);
  assert.deepEqual(reports.map(({ outcome }) => outcome.kind), ["cancelled", "cancelled", "cancelled", "body-broken"]);
  assert.equal(peers.explain(client.target).inFlight, 0);
});

test("grpc: a stream to a peer that is left alone is refused unsent", async (t) => {
  let asked = 0;
  const clock = new VirtualClock();
  const peers = open({ clock, failureThreshold: 1 });
  const client = await setUp(t, {
    list(call: ServerWritableStream<Message, Message>) {
      asked++;
      call.emit("error", { code: Status.UNAVAILABLE, details: "no", metadata: trailers({ "grpc-retry-pushback-ms": "5000" }) });
    },
  }, peers);
  const fault = async (stream: ClientReadableStream<Message> | ClientDuplexStream<Message, Message>): Promise<Fault> => ((await once(stream, "error")) as [Fault])[0];
  assert.equal((await fault(client.list({}))).details, "no");
  const refused = await fault(client.list({}));
  assert.equal(causeOf(refused), "PEER_ADVISED_TO_WAIT");
  assert.ok((refused.retryAfterMs as number) >= 5000);
  const chat = client.chat();
  chat.write({ n: 1 });
  assert.equal(causeOf(await fault(chat)), "PEER_ADVISED_TO_WAIT");
  const upload = await faultOf(new Promise((resolve, reject) => {
    client.upload((error) => (error === null ? resolve(0) : reject(error))).end({ n: 1 });
  }));
  assert.equal(causeOf(upload), "PEER_ADVISED_TO_WAIT");
  assert.equal(asked, 1);
});

test("grpc: a call that was refused leaves no timer of its deadline", async (t) => {
  const { target } = await serve(t, {});
  const client = connect(t, target, [peersInterceptor(open({ block: [target] }))]);
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const options = { deadline: Date.now() + 3_600_000 };
  for (let call = 0; call < 10; call++) {
    assert.equal(causeOf(await faultOf(get(client, {}, options))), "PEER_BLOCKED");
    const [fault] = (await once(client.list({}, options), "error")) as [Fault];
    assert.equal(causeOf(fault), "PEER_BLOCKED");
  }
  assert.ok(timers() < before + 5, `${timers()} timers, ${before} before`);
});

test("grpc: a call may wait until its peer may be asked again", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  let isBusy = true;
  const client = await setUp(t, {
    get: ((_call, done) => {
      if (isBusy) done({ code: Status.RESOURCE_EXHAUSTED, details: "busy", metadata: trailers({ "grpc-retry-pushback-ms": "3000" }) });
      else done(null, {});
    }) satisfies Get,
  }, peers, { whenHeld: "wait" });
  assert.equal((await faultOf(get(client))).details, "busy");
  isBusy = false;
  const call = get(client);
  // A wait is longer by a back-off of 100 ms at most.
  await clock.advance(peers.explain(client.target).retryAfterMs + 150);
  assert.deepEqual(await call, {});
});

test("grpc: a stream that is given up by the caller's own bound took that long at least, and is no timeout of what was learned", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  const opened: ServerWritableStream<Message, Message>[] = [];
  const client = await setUp(t, { ...streams(), list: (call: ServerWritableStream<Message, Message>) => void opened.push(call) }, peers, { firstMessageMs: 50 });
  const { book } = hostOf(peers);
  const censored = t.mock.method(book, "censored");
  const silent = client.list({});
  silent.resume();
  await until(() => opened.length === 1);
  const ended = once(silent, "error") as Promise<[Fault]>;
  await clock.advance(50);
  const [fault] = await ended;
  assert.equal((fault.cause as DeadlineExceededError).deadline, "attempt");
  assert.equal(censored.mock.callCount(), 1);
  assert.equal(peers.explain(client.target).sites[0]?.timeouts, 0);
});

test("grpc: a stream's first message may be waited for so long, the rest for ever", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock });
  const opened: ServerWritableStream<Message, Message>[] = [];
  const client = await setUp(t, { ...streams(), list: (call: ServerWritableStream<Message, Message>) => void opened.push(call) }, peers, { firstMessageMs: "learned" });
  const chat = client.chat();
  const silent = client.list({});
  silent.resume();
  await until(() => opened.length === 1);
  const ended = once(silent, "error") as Promise<[Fault]>;
  await clock.advance(10_000);
  const [fault] = await ended;
  assert.equal(fault.code, Status.DEADLINE_EXCEEDED);
  assert.equal((fault.cause as DeadlineExceededError).deadline, "learned");
  const { failuresInARow, sites } = peers.explain(client.target);
  assert.equal(failuresInARow, 1);
  assert.deepEqual(sites.map(({ site, timeouts }) => [site, timeouts]), [["/test.Items/Chat", 0], ["/test.Items/List", 1]]);
  chat.end({ n: 1 });
  assert.deepEqual(await allOf(chat), [{ echo: 1 }], "where the caller sends a stream, the peer may wait for it");

  const slow = client.list({});
  await until(() => opened.length === 2);
  opened[1]?.write({ n: 0 });
  assert.deepEqual(await once(slow, "data"), [{ n: 0 }]);
  assert.equal(peers.explain(client.target).sites[1]?.samples, 1);
  await clock.advance(3_600_000);
  const next = once(slow, "data");
  opened[1]?.write({ n: 1 });
  assert.deepEqual(await next, [{ n: 1 }]);
  opened[1]?.end();
  await once(slow, "end");
  await until(() => clock.timers === 0);
});

test("grpc: calls that are cancelled at any moment leave nothing behind", async (t) => {
  const clock = new VirtualClock();
  const peers = open({ clock, retryReserve: 1000, failureThreshold: 1_000_000 });
  const client = await setUp(t, { ...streams(), get: ((call, done) => done(call.request["n"] === 0 ? { code: Status.UNAVAILABLE, details: "" } : null, {})) satisfies Get }, peers, { retryable: () => true, firstMessageMs: 1000 });
  const ends: Promise<unknown>[] = [];
  for (let n = 0; n < 600; n++) {
    const call = n % 2 === 0 ? client.list({}) : undefined;
    call?.resume();
    if (call !== undefined) ends.push(new Promise((resolve) => call.once("error", resolve).once("end", resolve)));
    let unary: ClientUnaryCall | undefined;
    if (call === undefined) ends.push(new Promise((resolve) => (unary = client.get({ n: n % 3 }, new Metadata(), {}, resolve))));
    const turns = Math.floor(clock.random() * 6);
    void (async () => {
      for (let at = 0; at < turns; at++) await turn();
      (call ?? unary)?.cancel();
    })();
    if (n % 20 === 0) await turn();
  }
  await Promise.all(ends);
  // Only a channel without calls falls idle.
  const { internalChannel } = client.getChannel() as unknown as { internalChannel: { callCount: number } };
  const { inFlight } = peers.explain(client.target);
  await until(() => clock.timers === 0);
  assert.deepEqual({ inFlight, calls: internalChannel.callCount }, { inFlight: 0, calls: 0 });
});

test("grpc: options are checked by name", () => {
  const peers = open();
  assert.throws(() => peersInterceptor(peers, { totalMs: 5 } as GrpcOptions), { code: "OPTION_INVALID" });
  assert.throws(() => peersInterceptor(peers, { firstMessageMs: 0 }), { code: "OPTION_INVALID" });
  assert.throws(() => peersInterceptor({} as Peers), TypeError);
});
