import { assert, unreachable } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import type { ChainId } from "../base/ids.ts";
import { utf8Length } from "../base/utf8.ts";
import type { Chain } from "../base/ids.ts";
import { HOP_MAX, NAME_BYTES_MAX, PORTS_MAX, REPORTS_MAX, SEALED_BYTES_MAX, VALUE_WIRE_BYTES_MAX } from "./limits.ts";
import type { CancelBody, EdgeReport, PortPayload, ReplyBody, RequestBody, SealedBody } from "./message.ts";
import { bytesSize, malformed, messageSize, numberSize, ProtobufReader, ProtobufWriter, switchSize } from "./protobuf.ts";

/**
 * The sealed body of an envelope: written once, kept in the outbox, resent byte for byte. Encoder and decoder of each
 * message stand side by side, fields in the order of `messages.proto`.
 *
 * Invariant:
 *   B1. What `sealBody` accepts, the receiver's decoder accepts: both check the same limits.
 */

const OUTCOMES = ["ok", "failed", "refused"] as const; // from 1

/**
 * Throws VALUE_TOO_LARGE or VALUE_INVALID when an application's names or values exceed what the wire takes; details
 * name the part.
 */
export function sealBody(body: SealedBody): Uint8Array {
  checkPosition(body.sequence);
  checkPosition(body.request);
  checkPosition(body.attempt);
  const contentSize = sealedContentSize(body);
  const size = numberSize(body.sequence) + numberSize(body.request) + numberSize(body.attempt) + messageSize(contentSize);
  if (size > SEALED_BYTES_MAX) throw tooLarge("envelope", size, SEALED_BYTES_MAX);

  const writer = new ProtobufWriter(new Uint8Array(size), 0);
  writer.number(1, body.sequence);
  writer.number(2, body.request);
  writer.number(3, body.attempt);
  switch (body.type) {
    case "request":
      writer.message(4, contentSize);
      writeRequest(writer, body);
      break;
    case "reply":
      writer.message(5, contentSize);
      writeReply(writer, body);
      break;
    case "cancel":
      writer.message(6, contentSize);
      break;
    default:
      return unreachable(body);
  }
  return writer.finish();
}

function sealedContentSize(body: SealedBody): number {
  switch (body.type) {
    case "request":
      return requestSize(body);
    case "reply":
      return replySize(body);
    case "cancel":
      return 0;
    default:
      return unreachable(body);
  }
}

/** Decodes what `sealBody` made, for a restore. Payloads are views into `bytes`. Throws ENVELOPE_MALFORMED. */
export function decodeSealed(bytes: Uint8Array): SealedBody {
  return readSealed(new ProtobufReader(bytes, 0));
}

type SealedContent = Omit<RequestBody, SealedKey> | Omit<ReplyBody, SealedKey> | Omit<CancelBody, SealedKey>;
type SealedKey = "sequence" | "request" | "attempt";

export function readSealed(reader: ProtobufReader): SealedBody {
  let sequence = 0;
  let request = 0;
  let attempt = 0;
  let content: SealedContent | undefined;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        sequence = reader.number();
        break;
      case 0x10:
        request = reader.number();
        break;
      case 0x18:
        attempt = reader.number();
        break;
      case 0x22:
      case 0x2a:
      case 0x32:
        if (content !== undefined) throw malformed("a body with two contents");
        content = readContent(reader, tag);
        break;
      default:
        reader.skip(tag, 6);
    }
  }
  if (sequence === 0 || request === 0 || attempt === 0) throw malformed("a body without sequence, request or attempt");
  if (content === undefined) throw malformed("a body without content");
  switch (content.type) {
    case "request": {
      const { oneWay, key, chain, address, ports } = content;
      return { type: "request", sequence, request, attempt, oneWay, key, chain, address, ports };
    }
    case "reply": {
      const { outcome, ports, reports } = content;
      return { type: "reply", sequence, request, attempt, outcome, ports, reports };
    }
    case "cancel":
      return { type: "cancel", sequence, request, attempt };
    default:
      return unreachable(content);
  }
}

function readContent(reader: ProtobufReader, tag: 0x22 | 0x2a | 0x32): SealedContent {
  const outerEnd = reader.enter();
  const content = tag === 0x22 ? readRequest(reader) : tag === 0x2a ? readReply(reader) : readCancel(reader);
  reader.leave(outerEnd);
  return content;
}

function requestSize(body: RequestBody): number {
  return (
    switchSize(body.oneWay) +
    nameSize("key", body.key) +
    (body.chain === null ? 0 : messageSize(chainSize(body.chain))) +
    nameSize("address", body.address) +
    portsSize(body.ports)
  );
}

function writeRequest(writer: ProtobufWriter, body: RequestBody): void {
  writer.switch(1, body.oneWay);
  writer.text(2, body.key);
  if (body.chain !== null) {
    writer.message(3, chainSize(body.chain));
    writer.text(1, body.chain.id);
    writer.number(2, body.chain.hop);
  }
  writer.text(4, body.address);
  writePorts(writer, 5, body.ports);
}

function readRequest(reader: ProtobufReader): SealedContent {
  let oneWay = false;
  let key = "";
  let chain: Chain | null = null;
  let address = "";
  const ports: PortPayload[] = [];
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        oneWay = reader.switch();
        break;
      case 0x12:
        key = reader.text(NAME_BYTES_MAX);
        break;
      case 0x1a:
        if (chain !== null) throw malformed("a request with two chains");
        chain = readChain(reader);
        break;
      case 0x22:
        address = reader.text(NAME_BYTES_MAX);
        break;
      case 0x2a:
        readPort(reader, ports);
        break;
      default:
        reader.skip(tag, 5);
    }
  }
  if (key === "" || address === "") throw malformed("a request without key or address");
  return { type: "request", oneWay, key, chain, address, ports };
}

function replySize(body: ReplyBody): number {
  if (body.reports.length > REPORTS_MAX) throw tooLarge("reports", body.reports.length, REPORTS_MAX);
  let size = numberSize(outcomeNumber(body.outcome)) + portsSize(body.ports);
  for (const report of body.reports) size += messageSize(reportSize(report));
  return size;
}

function writeReply(writer: ProtobufWriter, body: ReplyBody): void {
  writer.number(1, outcomeNumber(body.outcome));
  writePorts(writer, 2, body.ports);
  for (const report of body.reports) {
    writer.message(3, reportSize(report));
    writer.text(1, report.nextHop);
    writer.text(2, report.chain);
    writer.number(3, report.hop);
    writer.number(4, report.srttNs);
    writer.number(5, report.rttvarNs);
    writer.number(6, report.count);
  }
}

function readReply(reader: ProtobufReader): SealedContent {
  let outcome: ReplyBody["outcome"] | undefined;
  const ports: PortPayload[] = [];
  const reports: EdgeReport[] = [];
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x08:
        outcome = OUTCOMES[reader.number() - 1];
        break;
      case 0x12:
        readPort(reader, ports);
        break;
      case 0x1a:
        if (reports.length === REPORTS_MAX) throw malformed(`more than ${REPORTS_MAX} reports`);
        reports.push(readReport(reader));
        break;
      default:
        reader.skip(tag, 3);
    }
  }
  if (outcome === undefined) throw malformed("a reply without a known outcome");
  return { type: "reply", outcome, ports, reports };
}

function outcomeNumber(outcome: ReplyBody["outcome"]): number {
  return OUTCOMES.indexOf(outcome) + 1;
}

function readCancel(reader: ProtobufReader): SealedContent {
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) reader.skip(tag, 0);
  return { type: "cancel" };
}

function chainSize(chain: Chain): number {
  checkChain(chain.id, chain.hop);
  return bytesSize(chain.id.length) + numberSize(chain.hop);
}

function readChain(reader: ProtobufReader): Chain {
  const outerEnd = reader.enter();
  let id = "";
  let hop = 0;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x0a:
        id = reader.text(NAME_BYTES_MAX);
        break;
      case 0x10:
        hop = reader.number(HOP_MAX);
        break;
      default:
        reader.skip(tag, 2);
    }
  }
  reader.leave(outerEnd);
  if (!isHexadecimal(id, 16)) throw malformed("a chain id that is not 16 hexadecimal digits");
  return { id: id as ChainId, hop };
}

function portsSize(ports: readonly PortPayload[]): number {
  if (ports.length > PORTS_MAX) throw tooLarge("ports", ports.length, PORTS_MAX);
  let size = 0;
  for (const port of ports) size += messageSize(portSize(port));
  return size;
}

function portSize({ name, payload }: PortPayload): number {
  assert(payload.length > 0, "an encoded value has bytes");
  if (payload.length > VALUE_WIRE_BYTES_MAX) throw tooLarge(`port ${name}`, payload.length, VALUE_WIRE_BYTES_MAX);
  return nameSize("port", name) + bytesSize(payload.length);
}

function writePorts(writer: ProtobufWriter, field: number, ports: readonly PortPayload[]): void {
  for (const port of ports) {
    writer.message(field, portSize(port));
    writer.text(1, port.name);
    writer.payload(2, port.payload);
  }
}

/** Reads one more port into `ports`. */
function readPort(reader: ProtobufReader, ports: PortPayload[]): void {
  if (ports.length === PORTS_MAX) throw malformed(`more than ${PORTS_MAX} ports`);
  const outerEnd = reader.enter();
  let name = "";
  let payload: Uint8Array | undefined;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x0a:
        name = reader.text(NAME_BYTES_MAX);
        break;
      case 0x12:
        payload = reader.payload(VALUE_WIRE_BYTES_MAX);
        break;
      default:
        reader.skip(tag, 2);
    }
  }
  reader.leave(outerEnd);
  if (name === "" || payload === undefined || payload.length === 0) throw malformed("a port without name or payload");
  for (const port of ports) if (port.name === name) throw malformed("two ports of one name");
  ports.push({ name, payload });
}

function reportSize(report: EdgeReport): number {
  checkChain(report.chain, report.hop);
  checkWhole(report.srttNs);
  checkWhole(report.rttvarNs);
  checkWhole(report.count);
  return (
    nameSize("nextHop", report.nextHop) +
    bytesSize(report.chain.length) +
    numberSize(report.hop) +
    numberSize(report.srttNs) +
    numberSize(report.rttvarNs) +
    numberSize(report.count)
  );
}

function readReport(reader: ProtobufReader): EdgeReport {
  const outerEnd = reader.enter();
  let nextHop = "";
  let chain = "";
  let hop = 0;
  let srttNs = 0;
  let rttvarNs = 0;
  let count = 0;
  for (let tag = reader.nextTag(); tag !== 0; tag = reader.nextTag()) {
    switch (tag) {
      case 0x0a:
        nextHop = reader.text(NAME_BYTES_MAX);
        break;
      case 0x12:
        chain = reader.text(NAME_BYTES_MAX);
        break;
      case 0x18:
        hop = reader.number(HOP_MAX);
        break;
      case 0x20:
        srttNs = reader.duration();
        break;
      case 0x28:
        rttvarNs = reader.duration();
        break;
      case 0x30:
        count = reader.number();
        break;
      default:
        reader.skip(tag, 6);
    }
  }
  reader.leave(outerEnd);
  if (nextHop === "") throw malformed("a report without its next hop");
  if (!isHexadecimal(chain, 16)) throw malformed("a chain id that is not 16 hexadecimal digits");
  return { nextHop, chain: chain as ChainId, hop, srttNs, rttvarNs, count };
}

/** Size of a required text that an application chose. */
export function nameSize(part: string, name: string): number {
  assert(name !== "", "names and keys are never empty");
  const bytes = utf8Length(name);
  if (bytes < 0) throw new RuntimeError("VALUE_INVALID", { path: part, found: "a string with a lone surrogate" });
  if (bytes > NAME_BYTES_MAX) throw tooLarge(part, bytes, NAME_BYTES_MAX);
  return bytesSize(bytes);
}

/** Whether `text` is exactly `length` lower-case hexadecimal digits. */
export function isHexadecimal(text: string, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    const isDigit = (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66);
    if (!isDigit) return false;
  }
  return true;
}

/** A duration may be beyond 2^53, where doubles are still whole. */
export function checkWhole(value: number): void {
  assert(Number.isInteger(value) && value >= 0, "a number on the wire is whole and not negative");
}

export function checkPosition(value: number): void {
  assert(Number.isSafeInteger(value) && value >= 1, "positions and counts on the wire start at 1");
}

function checkChain(id: ChainId, hop: number): void {
  assert(isHexadecimal(id, 16), "a chain id is 16 hexadecimal digits");
  assert(Number.isInteger(hop) && hop >= 0 && hop <= HOP_MAX, "a hop is 0 to 255");
}

function tooLarge(part: string, found: number, limit: number): RuntimeError {
  return new RuntimeError("VALUE_TOO_LARGE", { part, found, limit });
}
