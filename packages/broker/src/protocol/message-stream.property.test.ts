import assert from "node:assert/strict";
import { test } from "node:test";
import { RuntimeError } from "@holdfast/core/peer";
import fc from "fast-check";
import { encodeMessage, MessageStream } from "./message-stream.ts";
import { AdminAnswer, ClientFirst, FIRST_FRAME_BYTES_MAX, PROTOCOL, ROUTES, ServerFirst, ToBackend, ToBroker } from "./messages.ts";
import { REFUSAL_CODES } from "./refusal.ts";

const SCHEMAS = { ClientFirst, ServerFirst, AdminAnswer, ToBackend, ToBroker } as const;
type Schema = keyof typeof SCHEMAS;
const NAMES = Object.keys(SCHEMAS) as Schema[];

const count = fc.nat();
/** Valibot drops the names of Object.prototype from a record without a word. */
const word = fc.stringMatching(/^[a-z0-9]{1,20}$/).filter((text) => !(text in Object.prototype) && text !== "prototype");
const nonce = fc.stringMatching(/^[0-9a-f]{64}$/);
const json = fc.jsonValue({ maxDepth: 3 });
const refused = fc.record({
  kind: fc.constant("refused"), code: fc.constantFrom(...REFUSAL_CODES), explanation: fc.string(), retryAfterMs: fc.option(count), details: fc.dictionary(word, json),
});

/** Well-formed messages, by the schema that takes them. */
const MESSAGES: Readonly<Record<Schema, fc.Arbitrary<object>>> = {
  ClientFirst: fc.oneof(
    fc.record({
      kind: fc.constant("hello"), protocol: fc.constant(PROTOCOL), service: word, version: word, exact: fc.boolean(), build: word, pid: count,
      accepts: fc.subarray(["handoff", "redirect", "proxy"]), route: fc.constantFrom(...ROUTES),
    }, { requiredKeys: ["kind", "protocol", "service", "version", "pid", "accepts"] }),
    fc.record({ kind: fc.constant("attach"), protocol: fc.constant(PROTOCOL), nonce }),
    fc.record({ kind: fc.constant("admin"), protocol: fc.constant(PROTOCOL), verb: word, params: fc.dictionary(word, json) }),
  ),
  ServerFirst: fc.oneof(
    fc.record({ kind: fc.constant("welcome"), service: word, version: word, build: word, route: fc.constantFrom(...ROUTES), pid: count }),
    fc.record({ kind: fc.constant("redirect"), service: word, version: word, build: word, endpoint: word, reason: word }),
    refused,
  ),
  AdminAnswer: fc.oneof(
    fc.record({ kind: fc.constant("answer"), result: json }),
    fc.record({ kind: fc.constant("event"), event: json }),
    refused,
  ),
  ToBackend: fc.oneof(
    fc.record({ kind: fc.constant("offer"), id: count, deadlineUs: count, rest: word, service: word, version: word, clientPid: count }),
    fc.record({ kind: fc.constant("quiesce"), withinMs: count }),
  ),
  ToBroker: fc.oneof(
    fc.record({ kind: fc.constant("ack"), id: count }),
    fc.record({ kind: fc.constant("told"), message: json }),
    fc.record({ kind: fc.constant("unable"), code: word, message: fc.string() }),
  ),
};

const schemaAndMessages = fc.constantFrom(...NAMES).chain((schema) => fc.record({
  schema: fc.constant(schema), messages: fc.array(MESSAGES[schema], { minLength: 1, maxLength: 5 }),
}));
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });

/** Reads until nothing more comes. Throws what the stream throws. */
function readAll(stream: Uint8Array, sizes: readonly number[], schema: Schema): unknown[] {
  const reader = new MessageStream();
  const messages: unknown[] = [];
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    reader.push(stream.subarray(at, (at += sizes[turn % sizes.length]!)));
    for (let message; (message = reader.poll<unknown>(SCHEMAS[schema])) !== undefined; ) messages.push(message);
  }
  return messages;
}

function assertBlamesPeer(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    assert.equal(error.blame, "peer");
    assert.ok(["ENVELOPE_MALFORMED", "FRAME_MALFORMED", "FRAME_TOO_LARGE"].includes(error.code), error.code);
  }
}

test("message stream: however the network cuts it, the same messages come out", () => {
  fc.assert(fc.property(schemaAndMessages, cuts, ({ schema, messages }, sizes) => {
    const stream = Buffer.concat(messages.map(encodeMessage));
    const read = readAll(stream, sizes, schema) as Record<string, unknown>[];
    assert.deepEqual(read, readAll(stream, [stream.length], schema));
    assert.equal(read.length, messages.length);
    for (const [index, message] of messages.entries()) assert.deepEqual({ ...read[index], ...asJson(message) }, read[index]);
  }));
});

test("message stream: what stands behind the first message is not touched", () => {
  fc.assert(fc.property(MESSAGES.ClientFirst, fc.uint8Array({ maxLength: 300 }), (message, behind) => {
    const reader = new MessageStream();
    reader.push(Buffer.concat([encodeMessage(message), behind]));
    assert.ok(reader.poll(ClientFirst) !== undefined);
    assert.deepEqual(Buffer.from(reader.takeRest()), Buffer.from(behind));
  }));
});

test("message stream: any bytes fail by the peer's fault, or are messages", () => {
  fc.assert(fc.property(fc.constantFrom(...NAMES), fc.uint8Array({ maxLength: 400 }), cuts, (schema, bytes, sizes) => {
    assertBlamesPeer(() => void readAll(bytes, sizes, schema));
  }), { numRuns: 500 });
});

test("message stream: any body fails by the peer's fault, or is a message", () => {
  const body = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.json().map((text) => Buffer.from(text)), json.map((value) => Buffer.from(JSON.stringify(value))));
  fc.assert(fc.property(fc.constantFrom(...NAMES), body, cuts, (schema, bytes, sizes) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(bytes.length);
    assertBlamesPeer(() => void readAll(Buffer.concat([head, bytes]), sizes, schema));
  }), { numRuns: 500 });
});

/** A change to one message: a field gone, of another type, or with bytes changed on the way. */
const mutation = fc.oneof(
  fc.record({ kind: fc.constant("drop"), field: fc.nat() }),
  fc.record({ kind: fc.constant("replace"), field: fc.nat(), value: json }),
  fc.record({ kind: fc.constant("flip"), at: fc.nat(), mask: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant("truncate"), at: fc.nat() }),
  fc.record({ kind: fc.constant("insert"), at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

test("message stream: a message that was tampered with fails by the peer's fault, or is another message", () => {
  fc.assert(fc.property(schemaAndMessages, fc.array(mutation, { minLength: 1, maxLength: 3 }), cuts, ({ schema, messages }, mutations, sizes) => {
    const tampered = mutations.reduce(mutate, messages[0]!);
    const bytes = tampered instanceof Uint8Array ? tampered : encodeMessage(tampered);
    assertBlamesPeer(() => void readAll(Buffer.concat([bytes, ...messages.slice(1).map(encodeMessage)]), sizes, schema));
  }), { numRuns: 1000 });
});

function mutate(message: object, change: Mutation): object {
  if ("field" in change) {
    if (message instanceof Uint8Array) return message;
    const fields = Object.entries(message);
    const at = change.field % Math.max(1, fields.length);
    const changed = change.kind === "replace" ? [[fields[at]?.[0] ?? "kind", change.value] as [string, unknown]] : [];
    return Object.fromEntries([...fields.filter((_, index) => index !== at), ...changed]);
  }
  const bytes = Buffer.from(message instanceof Uint8Array ? message : encodeMessage(message));
  const at = change.at % Math.max(1, bytes.length);
  switch (change.kind) {
    case "flip": return Buffer.concat([bytes.subarray(0, at), Buffer.from([(bytes[at] ?? 0) ^ change.mask]), bytes.subarray(at + 1)]);
    case "truncate": return bytes.subarray(0, at);
    default: return Buffer.concat([bytes.subarray(0, at), change.bytes, bytes.subarray(at)]);
  }
}

test("message stream: a first frame is bounded by 64 KiB, the next ones are not", () => {
  const admin = (verb: string, bytes: number) => encodeMessage({ kind: "admin", protocol: PROTOCOL, verb, params: { filler: "x".repeat(bytes) } });
  assert.throws(() => readAll(admin("first", FIRST_FRAME_BYTES_MAX), [1 << 20], "ClientFirst"), { code: "FRAME_TOO_LARGE" });
  assert.equal(readAll(Buffer.concat([admin("first", 1_000), admin("second", FIRST_FRAME_BYTES_MAX)]), [1 << 20], "ClientFirst").length, 2);
});

/** What the other side can see of it: JSON knows no -0, and no undefined. */
function asJson(value: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}
