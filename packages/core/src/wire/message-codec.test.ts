import assert from "node:assert/strict";
import { test } from "node:test";
import { BugError } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import type { ChainId, Lineage } from "../base/ids.ts";
import { NS_MAX } from "../base/time.ts";
import { ENVELOPE_BYTES_MAX, NAME_BYTES_MAX, PORTS_MAX, REPORTS_MAX, SEALED_BYTES_MAX, VALUE_WIRE_BYTES_MAX } from "./limits.ts";
import { decodeMessage, decodeSealed, encodeEnvelopeFrame, encodeMessageFrame, sealBody } from "./message-codec.ts";
import type { Envelope, Hello, PortPayload, ReplyBody, RequestBody, TransmissionHeader } from "./message.ts";

const payload = Uint8Array.of(0xa0);
const request: RequestBody = {
  type: "request",
  sequence: 1,
  request: 2,
  attempt: 3,
  oneWay: false,
  key: "k",
  chain: { id: "0123456789abcdef" as ChainId, hop: 255 },
  address: "a",
  ports: [{ name: "p", payload }],
};
const reply: ReplyBody = {
  type: "reply",
  sequence: 1,
  request: 2,
  attempt: 3,
  outcome: "ok",
  ports: [],
  reports: [{ nextHop: "n", chain: "0123456789abcdef" as ChainId, hop: 1, srttNs: NS_MAX, rttvarNs: 0, count: 1 }],
};
const header: TransmissionHeader = { remainingNs: "never", acknowledged: 0, window: 256, redelivered: false };
const hello: Hello = {
  kind: "hello",
  protocol: 1,
  lineage: "00".repeat(16) as Lineage,
  incarnation: 1,
  epoch: 1,
  lowestUnacknowledged: 1,
  nextSequence: 1,
  peerLineage: "",
  peerEpoch: 0,
  mark: 0,
  window: 256,
  addresses: ["/ip4/127.0.0.1/tcp/1"],
};

function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, expected);
    return true;
  };
}

function manyPorts(count: number): PortPayload[] {
  return Array.from({ length: count }, (_, at) => ({ name: `p${at}`, payload }));
}

test("message: the bytes of an envelope, which never change", () => {
  const frame = encodeEnvelopeFrame({ remainingNs: 300, acknowledged: 5, window: 1, redelivered: true }, sealBody(request));
  const expected = [
    "0000003b 02", // length, kind
    "0a09 08ac02 1805 2001 2801", // header
    "122d 0801 1002 1803", // body
    "2225 12016b 1a15 0a1030313233343536373839616263646566 10ff01 220161 2a06 0a0170 1201a0",
  ];
  assert.equal(Buffer.from(frame).toString("hex"), expected.join("").replaceAll(" ", ""));
});

test("message: C1: a frame is a buffer of its own", () => {
  for (const frame of [encodeEnvelopeFrame(header, sealBody(request)), encodeMessageFrame(hello)]) {
    assert.equal(frame.byteOffset, 0);
    assert.equal(frame.buffer.byteLength, frame.length);
  }
});

test("message: payloads are views into the body", () => {
  const body = encodeEnvelopeFrame(header, sealBody(request)).subarray(4);
  const decoded = decodeMessage(body) as Envelope;
  assert.equal((decoded.body as RequestBody).ports[0]?.payload.buffer, body.buffer);
});

test("message: what was sealed is sent byte for byte", () => {
  const sealed = sealBody(request);
  const frame = Buffer.from(encodeEnvelopeFrame(header, sealed));
  assert.deepEqual(frame.subarray(frame.length - sealed.length), Buffer.from(sealed));
});

test("message: B1: bodies at every limit pass", () => {
  const long = "x".repeat(NAME_BYTES_MAX);
  const bodies = [
    { ...request, key: long, address: long, ports: [{ name: long, payload: new Uint8Array(VALUE_WIRE_BYTES_MAX).fill(1) }] },
    { ...request, ports: manyPorts(PORTS_MAX) },
    { ...reply, reports: Array.from({ length: REPORTS_MAX }, () => ({ ...reply.reports[0]!, nextHop: long })) },
  ];
  for (const body of bodies) {
    assert.deepEqual(decodeSealed(sealBody(body)), body);
    assert.deepEqual(decodeMessage(encodeEnvelopeFrame(header, sealBody(body)).subarray(4)), { kind: "envelope", header, body });
  }
});

test("message: B1: the largest sealed body fits an envelope with the largest header", () => {
  const header = { remainingNs: NS_MAX, acknowledged: Number.MAX_SAFE_INTEGER, window: 256, redelivered: true };
  const frame = encodeEnvelopeFrame(header, new Uint8Array(SEALED_BYTES_MAX));
  assert.ok(frame.length - 4 <= ENVELOPE_BYTES_MAX);
});

const tooLarge = [
  { name: "a value", body: { ...request, ports: [{ name: "p", payload: new Uint8Array(VALUE_WIRE_BYTES_MAX + 1) }] } },
  { name: "a name of many bytes", body: { ...request, address: "ü".repeat(NAME_BYTES_MAX / 2 + 1) } },
  { name: "too many ports", body: { ...request, ports: manyPorts(PORTS_MAX + 1) } },
  { name: "too many reports", body: { ...reply, reports: Array.from({ length: REPORTS_MAX + 1 }, () => reply.reports[0]!) } },
  { name: "an envelope", body: { ...request, ports: manyPorts(4).map((port) => ({ ...port, payload: new Uint8Array(VALUE_WIRE_BYTES_MAX) })) } },
];
for (const { name, body } of tooLarge) {
  test(`message: B1: ${name} too large is the caller's mistake`, () => {
    assert.throws(() => sealBody(body), code("VALUE_TOO_LARGE"));
  });
}

test("message: B1: a lone surrogate in a name is the caller's mistake", () => {
  assert.throws(() => sealBody({ ...request, key: "\ud800" }), code("VALUE_INVALID"));
});

const bugs = [
  { name: "sequence 0", run: () => sealBody({ ...request, sequence: 0 }) },
  { name: "a fraction", run: () => sealBody({ ...request, attempt: 1.5 }) },
  { name: "a negative duration", run: () => sealBody({ ...reply, reports: [{ ...reply.reports[0]!, srttNs: -1 }] }) },
  { name: "a chain id of another length", run: () => sealBody({ ...request, chain: { id: "00" as ChainId, hop: 0 } }) },
  { name: "a hop of 256", run: () => sealBody({ ...request, chain: { id: "0123456789abcdef" as ChainId, hop: 256 } }) },
  { name: "an empty payload", run: () => sealBody({ ...request, ports: [{ name: "p", payload: new Uint8Array() }] }) },
  { name: "no time remaining", run: () => encodeEnvelopeFrame({ ...header, remainingNs: 0 }, sealBody(request)) },
  { name: "a window of 257", run: () => encodeEnvelopeFrame({ ...header, window: 257 }, sealBody(request)) },
  { name: "nothing sealed", run: () => encodeEnvelopeFrame(header, new Uint8Array()) },
  { name: "nine addresses", run: () => encodeMessageFrame({ ...hello, addresses: Array(9).fill("a") }) },
  { name: "sequences out of order", run: () => encodeMessageFrame({ ...hello, lowestUnacknowledged: 2 }) },
  { name: "a negative beat", run: () => encodeMessageFrame({ kind: "heartbeat-echo", beat: -1 }) },
];
for (const { name, run } of bugs) {
  test(`message: our own mistakes do not leave: ${name}`, () => {
    assert.throws(run, BugError);
  });
}

// Bodies in hexadecimal: kind, then fields.
const HEADER = "0a021001"; // never
const SEALED = "080110011801"; // sequence, request, attempt 1
const envelope = (header: string, sealed: string) => `02${header}12${(sealed.length / 2).toString(16).padStart(2, "0")}${sealed}`;
const asked = (content: string) => envelope(HEADER, `${SEALED}22${(content.length / 2).toString(16).padStart(2, "0")}${content}`);
const replied = (content: string) => envelope(HEADER, `${SEALED}2a${(content.length / 2).toString(16).padStart(2, "0")}${content}`);
const CHAIN_ID = "0a1030313233343536373839616263646566";
const HELLO = `010801 1220${"30".repeat(32)} 2801 3001`.replaceAll(" ", "");

const accepted = [
  { name: "the smallest cancel", body: envelope(HEADER, `${SEALED}3200`) },
  { name: "the smallest request", body: asked("12016b220161") },
  { name: "the smallest reply", body: replied("0801") },
  { name: "the smallest hello", body: HELLO },
  { name: "an empty heartbeat", body: "04" },
  { name: "the last of two scalars", body: "0508050806" },
  { name: "a varint with trailing zeros", body: "05088100" },
  { name: "the largest duration", body: "0608ffffffffffffffffff01" },
  { name: "the largest count", body: "0508ffffffffffffff0f" },
  { name: "an unknown field in a cancel", body: envelope(HEADER, `${SEALED}32020801`) },
  { name: "an unknown field between known ones", body: "05a006010805" },
];
for (const { name, body } of accepted) {
  test(`message: accepts ${name}`, () => {
    decodeMessage(Buffer.from(body, "hex"));
  });
}

const refused = [
  { name: "sequence 0", body: envelope(HEADER, "100118013200") },
  { name: "no request", body: envelope(HEADER, "080118013200") },
  { name: "no attempt", body: envelope(HEADER, "080110013200") },
  { name: "no content", body: envelope(HEADER, SEALED) },
  { name: "two contents", body: envelope(HEADER, `${SEALED}32003200`) },
  { name: "no header", body: envelope("", `${SEALED}3200`) },
  { name: "no body", body: `02${HEADER}` },
  { name: "two headers", body: envelope(`${HEADER}${HEADER}`, `${SEALED}3200`) },
  { name: "two bodies", body: `${envelope(HEADER, `${SEALED}3200`)}1200` },
  { name: "neither time nor never", body: envelope("0a00", `${SEALED}3200`) },
  { name: "both time and never", body: envelope("0a0408011001", `${SEALED}3200`) },
  { name: "a remaining time of 0", body: envelope("0a0408001001", `${SEALED}3200`) },
  { name: "a window of 257", body: envelope("0a05100120 8102".replace(" ", ""), `${SEALED}3200`) },
  { name: "a request without key", body: asked("220161") },
  { name: "a request without address", body: asked("12016b") },
  { name: "a port without name", body: asked("12016b2201612a031201a0") },
  { name: "a port without payload", body: asked("12016b2201612a030a0170") },
  { name: "an empty payload", body: asked("12016b2201612a050a01701200") },
  { name: "two ports of one name", body: asked("12016b220161" + "2a060a01701201a0".repeat(2)) },
  { name: "two chains", body: asked("12016b220161" + `1a12${CHAIN_ID}`.repeat(2)) },
  { name: "a chain id of 15 digits", body: asked("12016b220161" + "1a110a0f303132333435363738396162636465") },
  { name: "a chain id of capitals", body: asked("12016b220161" + "1a120a1041313233343536373839616263646566") },
  { name: "a hop of 256", body: asked(`12016b2201611a15${CHAIN_ID}108002`) },
  { name: "a reply without outcome", body: replied("") },
  { name: "an unknown outcome", body: replied("0804") },
  { name: "a report without next hop", body: replied(`08011a12${CHAIN_ID.replace("0a", "12")}`) },
  { name: "a report without chain", body: replied("08011a030a016e") },
  { name: "an hello without protocol", body: HELLO.replace("0801", "") },
  { name: "a lineage of capitals", body: HELLO.replace("30".repeat(32), "41".repeat(32)) },
  { name: "a peer lineage of another length", body: `${HELLO}3a0130` },
  { name: "sequences out of order", body: HELLO.replace("2801", "2802") },
  { name: "sequences from 0", body: HELLO.replace("2801", "2800") },
  { name: "nine addresses", body: `${HELLO}${"5a0161".repeat(9)}` },
  { name: "an empty address", body: `${HELLO}5a00` },
  { name: "an address of 257 bytes", body: `${HELLO}5a8102${"61".repeat(257)}` },
  { name: "a goodbye without code", body: "07" },
  { name: "invalid UTF-8", body: "070a02c080" },
  { name: "field 0", body: "050001" },
  { name: "a known field of another wire type", body: "0509 0102030405060708".replace(" ", "") },
  { name: "a group", body: "05a306" },
  { name: "an unknown wire type", body: "05a606" },
  { name: "a field number beyond 2^29", body: "05808080801000" },
  { name: "a number beyond 2^53", body: "05088080808080808010" },
  { name: "a number beyond 64 bits", body: "0608ffffffffffffffffff02" },
  { name: "a varint of 11 bytes", body: "06088080808080808080808000" },
  { name: "a number that is cut off", body: "0508" },
  { name: "a length beyond the end", body: "070a0261" },
  { name: "a length of 2^63", body: "070affffffffffffffff7f61" },
  { name: "a part that is longer than its whole", body: envelope("0a031001", `${SEALED}3200`).replace("0a031001", "0a0120") },
  { name: "an unknown field of 8 bytes that is cut off", body: "05a10601020304" },
];
for (const { name, body } of refused) {
  test(`message: refuses ${name}`, () => {
    assert.throws(() => decodeMessage(Buffer.from(body, "hex")), code("ENVELOPE_MALFORMED"));
  });
}

for (const body of ["", "00", "08", "ff"]) {
  test(`message: a body that begins with [${body}] is of no known kind`, () => {
    assert.throws(() => decodeMessage(Buffer.from(body, "hex")), code("FRAME_MALFORMED"));
  });
}

test("message: limits on what comes in", () => {
  const port = (name: string, size: number) => {
    const content = Buffer.concat([varintField(0x0a, Buffer.from(name)), varintField(0x12, Buffer.alloc(size, 1))]);
    return varintField(0x2a, content);
  };
  const body = (...ports: Buffer[]) => {
    const content = Buffer.concat([Buffer.from("12016b220161", "hex"), ...ports]);
    const sealed = Buffer.concat([Buffer.from(SEALED, "hex"), varintField(0x22, content)]);
    return Buffer.concat([Buffer.from(`02${HEADER}`, "hex"), varintField(0x12, sealed)]);
  };
  const many = (count: number) => Array.from({ length: count }, (_, at) => port(`p${at}`, 1));
  decodeMessage(body(port("p", VALUE_WIRE_BYTES_MAX)));
  decodeMessage(body(port("x".repeat(NAME_BYTES_MAX), 1)));
  decodeMessage(body(...many(PORTS_MAX)));
  assert.throws(() => decodeMessage(body(port("p", VALUE_WIRE_BYTES_MAX + 1))), code("ENVELOPE_MALFORMED"));
  assert.throws(() => decodeMessage(body(port("x".repeat(NAME_BYTES_MAX + 1), 1))), code("ENVELOPE_MALFORMED"));
  assert.throws(() => decodeMessage(body(...many(PORTS_MAX + 1))), code("ENVELOPE_MALFORMED"));
  assert.throws(() => decodeMessage(new Uint8Array(ENVELOPE_BYTES_MAX + 1)), code("FRAME_TOO_LARGE"));
});

function varintField(tag: number, content: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = content.length; ; rest >>>= 7) {
    length.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 0x80) break;
  }
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
