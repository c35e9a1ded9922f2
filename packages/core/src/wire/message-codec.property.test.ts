import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { RuntimeError } from "../base/errors.ts";
import { decodeMessage, decodeSealed, sealBody } from "./message-codec.ts";
import type { Message, SealedBody, TransmissionHeader } from "./message.ts";
import { readContract } from "./testing/contract.ts";
import { frameOf, message, sealedBody } from "./testing/messages.ts";

const contract = readContract();
const schema = (name: string): DescMessage => contract.get(name)!;

const KINDS = ["hello", "envelope", "acknowledge", "heartbeat", "heartbeat-echo", "backoff-notice", "goodbye"];
const SCHEMAS = ["Hello", "Envelope", "Acknowledge", "Heartbeat", "HeartbeatEcho", "BackoffNotice", "Goodbye"];
const OUTCOMES = ["", "ok", "failed", "refused"];

/** What the library takes: bigints for numbers, 0 and false for what is absent. */
type Init = Record<string, unknown>;

function u64(value: number): bigint {
  const big = BigInt(value);
  return big < 2n ** 64n ? big : 2n ** 64n - 1n;
}

function bigints(fields: object): Init {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, typeof value === "number" ? u64(value) : value]));
}

function headerInit({ remainingNs, ...rest }: TransmissionHeader): Init {
  return { ...bigints(rest), ...(remainingNs === "never" ? { never: true } : { remainingNs: u64(remainingNs) }) };
}

function sealedInit({ sequence, request, attempt, type, ...content }: SealedBody): Init {
  const value: Init = { ...content };
  if ("chain" in content) value["chain"] = content.chain === null ? undefined : bigints(content.chain);
  if ("outcome" in content) value["outcome"] = OUTCOMES.indexOf(content.outcome);
  if ("reports" in content) value["reports"] = content.reports.map((report) => create(schema("EdgeReport"), bigints(report)));
  if ("ports" in content) value["ports"] = content.ports.map((port) => create(schema("Port"), { ...port }));
  if (value["chain"] !== undefined) value["chain"] = create(schema("Chain"), value["chain"] as Init);
  const [name, field] = { request: ["Request", "ask"], reply: ["Reply", "reply"], cancel: ["Cancel", "cancel"] }[type] as [string, string];
  return { ...bigints({ sequence, request, attempt }), content: { case: field, value: create(schema(name), value) } };
}

/** The fields of a message as the library encodes them. */
function referenceBytes(given: Message): Uint8Array {
  const { kind, ...fields } = given;
  const target = schema(SCHEMAS[KINDS.indexOf(kind)]!);
  if (given.kind !== "envelope") return toBinary(target, create(target, bigints(fields)));
  const header = create(schema("TransmissionHeader"), headerInit(given.header));
  const body = create(schema("SealedBody"), sealedInit(given.body));
  return toBinary(target, create(target, { header, body }));
}

function plain(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes);
}

test("message: a frame is its length, its kind and the very bytes that protobuf makes", () => {
  fc.assert(
    fc.property(message, (given) => {
      const frame = plain(frameOf(given));
      assert.equal(frame.readUInt32BE(0), frame.length - 4);
      assert.equal(frame[4], KINDS.indexOf(given.kind) + 1);
      assert.deepEqual(frame.subarray(5), plain(referenceBytes(given)));
    }),
    { numRuns: 2000 },
  );
});

test("message: what the library encodes is decoded to the same message", () => {
  fc.assert(
    fc.property(message, (given) => {
      const body = Uint8Array.from([KINDS.indexOf(given.kind) + 1, ...referenceBytes(given)]);
      assert.deepEqual(decodeMessage(body), given);
    }),
    { numRuns: 2000 },
  );
});

test("message: what we encode, the library decodes to the same message", () => {
  fc.assert(
    fc.property(message, (given) => {
      const target = schema(SCHEMAS[KINDS.indexOf(given.kind)]!);
      const decoded = fromBinary(target, frameOf(given).subarray(5));
      assert.deepEqual(plain(toBinary(target, decoded)), plain(referenceBytes(given)));
    }),
    { numRuns: 500 },
  );
});

test("message: a sealed body comes back from its bytes", () => {
  fc.assert(
    fc.property(sealedBody, (given) => {
      assert.deepEqual(decodeSealed(sealBody(given)), given);
    }),
    { numRuns: 500 },
  );
});

test("message: fields of a later version are skipped, wherever they stand", () => {
  // Field 100 in each wire type: varint, 8 bytes, length-delimited, 4 bytes.
  const unknown = fc.constantFrom("a006ff01", "a1060102030405060708", "a20603ffffff", "a50601020304");
  fc.assert(
    fc.property(message.filter(({ kind }) => kind !== "envelope"), fc.array(unknown, { minLength: 1 }), fc.boolean(), (given, extra, before) => {
      const fields = plain(referenceBytes(given));
      const added = Buffer.from(extra.join(""), "hex");
      const body = Buffer.concat([frameOf(given).subarray(4, 5), ...(before ? [added, fields] : [fields, added])]);
      assert.deepEqual(decodeMessage(new Uint8Array(body)), given);
    }),
  );
});

/** C2: a message, or an error that blames the peer. */
function checkForeign(body: Uint8Array): void {
  let decoded: Message;
  try {
    decoded = decodeMessage(body);
  } catch (error) {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.blame, "peer");
    return;
  }
  // What passes is within all limits: our own encoder checks them and takes it.
  assert.deepEqual(decodeMessage(frameOf(decoded).subarray(4)), decoded);
}

test("message: C2: random bytes only ever blame the peer", () => {
  const kind = fc.integer({ min: 0, max: 8 });
  fc.assert(
    fc.property(kind, fc.uint8Array({ maxLength: 60 }), (first, rest) => checkForeign(Uint8Array.from([first, ...rest]))),
    { numRuns: 5000 },
  );
});

test("message: C2: damaged frames only ever blame the peer", () => {
  const damages = fc.array(fc.record({ at: fc.nat(), byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 0x7f, 0x80, 0xff)) }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(message, damages, fc.nat(4), (given, changes, cut) => {
      const body = frameOf(given).slice(4);
      for (const { at, byte } of changes) body[at % body.length] = byte;
      checkForeign(body.subarray(0, Math.max(0, body.length - cut)));
    }),
    { numRuns: 5000 },
  );
});

test("message: C2: a frame that is cut off is refused or a shorter message", () => {
  fc.assert(
    fc.property(message, (given) => {
      const body = frameOf(given).subarray(4);
      for (let length = 0; length < body.length; length++) checkForeign(body.slice(0, length));
    }),
    { numRuns: 100 },
  );
});
