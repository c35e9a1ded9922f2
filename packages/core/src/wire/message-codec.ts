import { assert, unreachable } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import type { Lineage } from "../base/ids.ts";
import { utf8Length } from "../base/utf8.ts";
import { ADDRESS_BYTES_MAX, ADDRESSES_MAX, ENVELOPE_BYTES_MAX, NAME_BYTES_MAX, SEALED_BYTES_MAX, WINDOW_MAX } from "./limits.ts";
import type {
  Acknowledge,
  BackoffNotice,
  Envelope,
  Goodbye,
  Heartbeat,
  HeartbeatEcho,
  Hello,
  Message,
  SealedBody,
  TransmissionHeader,
} from "./message.ts";
import { bytesSize, malformed, messageSize, numberSize, ProtobufReader, ProtobufWriter, switchSize } from "./protobuf.ts";
import { checkPosition, checkWhole, isHexadecimal, nameSize, readSealed } from "./sealed-codec.ts";

export { decodeSealed, sealBody } from "./sealed-codec.ts";

/**
 * Messages as frames: length, kind, protobuf fields. `messages.proto` is the contract, and says what is refused.
 *
 * Invariants:
 *   C1. A frame is one fresh buffer that nothing else refers to: the host may transfer or keep it.
 *   C2. Decoding foreign bytes throws nothing but errors that blame the peer, and allocates no more than their length
 *       warrants. Payloads are views into the body, so who keeps one keeps the whole body alive.
 */

const KINDS = {
  hello: 1,
  envelope: 2,
  acknowledge: 3,
  heartbeat: 4,
  "heartbeat-echo": 5,
  "backoff-notice": 6,
  goodbye: 7,
} as const satisfies Record<Message["kind"], number>;

/** Bytes of a frame before its fields: the body's length and the message's kind. */
const LENGTH_BYTES = 4;
const PREFIX_BYTES = LENGTH_BYTES + 1;

/** `sealed` is what `sealBody` returned; it is copied. Returns a complete frame. */
export function encodeEnvelopeFrame(header: TransmissionHeader, sealed: Uint8Array): Uint8Array {
  assert(sealed.length > 0 && sealed.length <= SEALED_BYTES_MAX, "only sealed bodies are sent");
  checkHeader(header);
  const { remainingNs, acknowledged, window, redelivered } = header;
  const headerSize =
    (remainingNs === "never" ? switchSize(true) : numberSize(remainingNs)) +
    numberSize(acknowledged) +
    numberSize(window) +
    switchSize(redelivered);
  const writer = beginFrame(KINDS.envelope, messageSize(headerSize) + messageSize(sealed.length));
  writer.message(1, headerSize);
  if (remainingNs === "never") writer.switch(2, true);
  else writer.number(1, remainingNs);
  writer.number(3, acknowledged);
  writer.number(4, window);
  writer.switch(5, redelivered);
  writer.message(2, sealed.length);
  writer.verbatim(sealed);
  return writer.finish();
}

/** Returns a complete frame. */
export function encodeMessageFrame(message: Exclude<Message, Envelope>): Uint8Array {
  switch (message.kind) {
    case "hello":
      return encodeHello(message);
    case "acknowledge":
      return encodeAcknowledge(message);
    case "heartbeat":
      return encodeHeartbeat(message);
    case "heartbeat-echo":
      return encodeHeartbeatEcho(message);
    case "backoff-notice":
      return encodeBackoffNotice(message);
    case "goodbye":
      return encodeGoodbye(message);
    default:
      return unreachable(message);
  }
}

/**
 * Decodes the body of one frame. The hello's protocol version is only reported: whether it is supported decides the
 * engine.
 *
 * Throws FRAME_TOO_LARGE, FRAME_MALFORMED (no known kind) or ENVELOPE_MALFORMED (the fields).
 */
export function decodeMessage(body: Uint8Array): Message {
  if (body.length > ENVELOPE_BYTES_MAX) throw new RuntimeError("FRAME_TOO_LARGE", { bytes: body.length, limit: ENVELOPE_BYTES_MAX });
  const reader = new ProtobufReader(body, 1);
  switch (body[0]) {
    case KINDS.hello:
      return readHello(reader);
    case KINDS.envelope:
      return readEnvelope(reader);
    case KINDS.acknowledge:
      return readAcknowledge(reader);
    case KINDS.heartbeat:
      return readHeartbeat(reader);
    case KINDS["heartbeat-echo"]:
      return readHeartbeatEcho(reader);
    case KINDS["backoff-notice"]:
      return readBackoffNotice(reader);
    case KINDS.goodbye:
      return readGoodbye(reader);
    default:
      throw new RuntimeError("FRAME_MALFORMED", { reason: "an unknown kind of message", kind: body[0] });
  }
}

function beginFrame(kind: number, fieldsSize: number): ProtobufWriter {
  const frame = new Uint8Array(PREFIX_BYTES + fieldsSize);
  const length = 1 + fieldsSize;
  frame[0] = length >>> 24;
  frame[1] = length >>> 16;
  frame[2] = length >>> 8;
  frame[3] = length;
  frame[LENGTH_BYTES] = kind;
  return new ProtobufWriter(frame, PREFIX_BYTES);
}

function readEnvelope(reader: ProtobufReader): Envelope {
  let header: TransmissionHeader | undefined;
  let body: SealedBody | undefined;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x0a: {
        if (header !== undefined) throw malformed("an envelope with two headers");
        const outerEnd = reader.enter();
        header = readHeader(reader);
        reader.leave(outerEnd);
        break;
      }
      case 0x12: {
        if (body !== undefined) throw malformed("an envelope with two bodies");
        const outerEnd = reader.enter();
        body = readSealed(reader);
        reader.leave(outerEnd);
        break;
      }
      default:
        reader.skip(tag, 2);
    }
  }
  if (header === undefined || body === undefined) throw malformed("an envelope without header or body");
  return { kind: "envelope", header, body };
}

function readHeader(reader: ProtobufReader): TransmissionHeader {
  let remainingNs: number | undefined;
  let never = false;
  let acknowledged = 0;
  let window = 0;
  let redelivered = false;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        remainingNs = reader.duration();
        if (remainingNs === 0) throw malformed("no time remaining");
        break;
      case 0x10:
        never = reader.switch();
        break;
      case 0x18:
        acknowledged = reader.number();
        break;
      case 0x20:
        window = reader.number(WINDOW_MAX);
        break;
      case 0x28:
        redelivered = reader.switch();
        break;
      default:
        reader.skip(tag, 5);
    }
  }
  if (never === (remainingNs !== undefined)) throw malformed("neither or both of a remaining time and never");
  return { remainingNs: remainingNs ?? "never", acknowledged, window, redelivered };
}

function encodeHello(hello: Hello): Uint8Array {
  checkHello(hello);
  let size =
    numberSize(hello.protocol) +
    bytesSize(hello.lineage.length) +
    numberSize(hello.incarnation) +
    numberSize(hello.epoch) +
    numberSize(hello.lowestUnacknowledged) +
    numberSize(hello.nextSequence) +
    bytesSize(hello.peerLineage.length) +
    numberSize(hello.peerEpoch) +
    numberSize(hello.mark) +
    numberSize(hello.window);
  for (const address of hello.addresses) size += bytesSize(utf8Length(address));
  const writer = beginFrame(KINDS.hello, size);
  writer.number(1, hello.protocol);
  writer.text(2, hello.lineage);
  writer.number(3, hello.incarnation);
  writer.number(4, hello.epoch);
  writer.number(5, hello.lowestUnacknowledged);
  writer.number(6, hello.nextSequence);
  writer.text(7, hello.peerLineage);
  writer.number(8, hello.peerEpoch);
  writer.number(9, hello.mark);
  writer.number(10, hello.window);
  for (const address of hello.addresses) writer.text(11, address);
  return writer.finish();
}

function readHello(reader: ProtobufReader): Hello {
  let protocol = 0;
  let lineage = "";
  let incarnation = 0;
  let epoch = 0;
  let lowestUnacknowledged = 0;
  let nextSequence = 0;
  let peerLineage = "";
  let peerEpoch = 0;
  let mark = 0;
  let window = 0;
  const addresses: string[] = [];
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        protocol = reader.number();
        break;
      case 0x12:
        lineage = reader.text(NAME_BYTES_MAX);
        break;
      case 0x18:
        incarnation = reader.number();
        break;
      case 0x20:
        epoch = reader.number();
        break;
      case 0x28:
        lowestUnacknowledged = reader.number();
        break;
      case 0x30:
        nextSequence = reader.number();
        break;
      case 0x3a:
        peerLineage = reader.text(NAME_BYTES_MAX);
        break;
      case 0x40:
        peerEpoch = reader.number();
        break;
      case 0x48:
        mark = reader.number();
        break;
      case 0x50:
        window = reader.number(WINDOW_MAX);
        break;
      case 0x5a: {
        if (addresses.length === ADDRESSES_MAX) throw malformed(`more than ${ADDRESSES_MAX} addresses`);
        const address = reader.text(ADDRESS_BYTES_MAX);
        if (address === "") throw malformed("an empty address");
        addresses.push(address);
        break;
      }
      default:
        reader.skip(tag, 11);
    }
  }
  if (protocol === 0) throw malformed("a hello without its protocol");
  if (!isHexadecimal(lineage, 32)) throw malformed("a lineage that is not 32 hexadecimal digits");
  if (peerLineage !== "" && !isHexadecimal(peerLineage, 32)) throw malformed("a lineage that is not 32 hexadecimal digits");
  if (lowestUnacknowledged === 0 || lowestUnacknowledged > nextSequence) throw malformed("sequences out of order");
  return {
    kind: "hello",
    protocol,
    lineage: lineage as Lineage,
    incarnation,
    epoch,
    lowestUnacknowledged,
    nextSequence,
    peerLineage: peerLineage as Lineage | "",
    peerEpoch,
    mark,
    window,
    addresses,
  };
}

function encodeAcknowledge({ acknowledged, window, gap }: Acknowledge): Uint8Array {
  checkGrant(acknowledged, window);
  const writer = beginFrame(KINDS.acknowledge, numberSize(acknowledged) + numberSize(window) + switchSize(gap));
  writer.number(1, acknowledged);
  writer.number(2, window);
  writer.switch(3, gap);
  return writer.finish();
}

function readAcknowledge(reader: ProtobufReader): Acknowledge {
  let acknowledged = 0;
  let window = 0;
  let gap = false;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        acknowledged = reader.number();
        break;
      case 0x10:
        window = reader.number(WINDOW_MAX);
        break;
      case 0x18:
        gap = reader.switch();
        break;
      default:
        reader.skip(tag, 3);
    }
  }
  return { kind: "acknowledge", acknowledged, window, gap };
}

function encodeHeartbeat({ beat, acknowledged, window, sentAtUs, intervalUs }: Heartbeat): Uint8Array {
  for (const number of [beat, sentAtUs, intervalUs]) checkWhole(number);
  checkGrant(acknowledged, window);
  const size = [beat, acknowledged, window, sentAtUs, intervalUs].reduce((sum, number) => sum + numberSize(number), 0);
  const writer = beginFrame(KINDS.heartbeat, size);
  writer.number(1, beat);
  writer.number(2, acknowledged);
  writer.number(3, window);
  writer.number(4, sentAtUs);
  writer.number(5, intervalUs);
  return writer.finish();
}

function readHeartbeat(reader: ProtobufReader): Heartbeat {
  let beat = 0;
  let acknowledged = 0;
  let window = 0;
  let sentAtUs = 0;
  let intervalUs = 0;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        beat = reader.number();
        break;
      case 0x10:
        acknowledged = reader.number();
        break;
      case 0x18:
        window = reader.number(WINDOW_MAX);
        break;
      case 0x20:
        sentAtUs = reader.number();
        break;
      case 0x28:
        intervalUs = reader.number();
        break;
      default:
        reader.skip(tag, 5);
    }
  }
  return { kind: "heartbeat", beat, acknowledged, window, sentAtUs, intervalUs };
}

function encodeHeartbeatEcho({ beat }: HeartbeatEcho): Uint8Array {
  checkWhole(beat);
  const writer = beginFrame(KINDS["heartbeat-echo"], numberSize(beat));
  writer.number(1, beat);
  return writer.finish();
}

function readHeartbeatEcho(reader: ProtobufReader): HeartbeatEcho {
  let beat = 0;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    if (tag === 0x08) beat = reader.number();
    else reader.skip(tag, 1);
  }
  return { kind: "heartbeat-echo", beat };
}

function encodeBackoffNotice({ minBackoffNs }: BackoffNotice): Uint8Array {
  checkWhole(minBackoffNs);
  const writer = beginFrame(KINDS["backoff-notice"], numberSize(minBackoffNs));
  writer.number(1, minBackoffNs);
  return writer.finish();
}

function readBackoffNotice(reader: ProtobufReader): BackoffNotice {
  let minBackoffNs = 0;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    if (tag === 0x08) minBackoffNs = reader.duration();
    else reader.skip(tag, 1);
  }
  return { kind: "backoff-notice", minBackoffNs };
}

function encodeGoodbye({ code }: Goodbye): Uint8Array {
  const writer = beginFrame(KINDS.goodbye, nameSize("code", code));
  writer.text(1, code);
  return writer.finish();
}

function readGoodbye(reader: ProtobufReader): Goodbye {
  let code = "";
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    if (tag === 0x0a) code = reader.text(NAME_BYTES_MAX);
    else reader.skip(tag, 1);
  }
  if (code === "") throw malformed("a goodbye without its code");
  return { kind: "goodbye", code };
}

function checkHeader({ remainingNs, acknowledged, window }: TransmissionHeader): void {
  if (remainingNs !== "never") {
    assert(Number.isInteger(remainingNs) && remainingNs >= 1, "exhausted work is not sent");
  }
  checkGrant(acknowledged, window);
}

function checkHello(hello: Hello): void {
  checkPosition(hello.protocol);
  assert(isHexadecimal(hello.lineage, 32), "a lineage is 32 hexadecimal digits");
  assert(hello.peerLineage === "" || isHexadecimal(hello.peerLineage, 32), "a lineage is 32 hexadecimal digits");
  checkWhole(hello.incarnation);
  checkWhole(hello.epoch);
  checkPosition(hello.lowestUnacknowledged);
  checkPosition(hello.nextSequence);
  assert(hello.lowestUnacknowledged <= hello.nextSequence, "what is unacknowledged was sent");
  checkWhole(hello.peerEpoch);
  checkGrant(hello.mark, hello.window);
  assert(hello.addresses.length <= ADDRESSES_MAX, "the address book bounds its lists");
  for (const address of hello.addresses) {
    const bytes = utf8Length(address);
    assert(bytes >= 1 && bytes <= ADDRESS_BYTES_MAX, "addresses are checked where they come in");
  }
}

function checkGrant(acknowledged: number, window: number): void {
  assert(Number.isSafeInteger(acknowledged) && acknowledged >= 0, "a mark is whole and not negative");
  assert(Number.isInteger(window) && window >= 0 && window <= WINDOW_MAX, "a window is 0 to 256");
}
