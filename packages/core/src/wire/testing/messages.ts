import fc from "fast-check";
import type { ChainId, Lineage } from "../../base/ids.ts";
import { NS_MAX } from "../../base/time.ts";
import { encodeEnvelopeFrame, encodeMessageFrame, sealBody } from "../message-codec.ts";
import type { Message, PortPayload, SealedBody, TransmissionHeader } from "../message.ts";

/** Arbitrary messages within all limits, with the edges of every number. */

const count = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constantFrom(127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 35, Number.MAX_SAFE_INTEGER));
const position = count.map((value) => Math.max(value, 1));
const duration = fc.oneof(count, fc.constantFrom(2 ** 53, 2 ** 56, 2 ** 63, 2 ** 64 - 2048, NS_MAX));
const window = fc.integer({ min: 0, max: 256 });
const hop = fc.integer({ min: 0, max: 255 });
const name = fc.oneof(fc.string({ unit: "binary", minLength: 1, maxLength: 12 }), fc.string({ minLength: 40, maxLength: 140 }));

/** Plain objects, as the codec makes them. */
function record<Fields>(model: { [Key in keyof Fields]: fc.Arbitrary<Fields[Key]> }): fc.Arbitrary<Fields> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<Fields>;
}

function hexadecimal(length: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
}

const lineage = hexadecimal(32) as fc.Arbitrary<Lineage>;
const chainId = hexadecimal(16) as fc.Arbitrary<ChainId>;
const ports: fc.Arbitrary<PortPayload[]> = fc.uniqueArray(
  record({ name, payload: fc.uint8Array({ minLength: 1, maxLength: 300 }) }),
  { maxLength: 5, selector: (port) => port.name },
);
const sealed = { sequence: position, request: position, attempt: position };

export const sealedBody: fc.Arbitrary<SealedBody> = fc.oneof(
  record({
    type: fc.constant("request" as const),
    ...sealed,
    oneWay: fc.boolean(),
    key: name,
    chain: fc.option(record({ id: chainId, hop }), { nil: null }),
    address: name,
    ports,
  }),
  record({
    type: fc.constant("reply" as const),
    ...sealed,
    outcome: fc.constantFrom("ok" as const, "failed" as const, "refused" as const),
    ports,
    reports: fc.array(record({ nextHop: name, chain: chainId, hop, srttNs: duration, rttvarNs: duration, count }), { maxLength: 4 }),
  }),
  record({ type: fc.constant("cancel" as const), ...sealed }),
);

export const transmissionHeader: fc.Arbitrary<TransmissionHeader> = record({
  remainingNs: fc.oneof(fc.constant("never" as const), duration.map((value) => Math.max(value, 1))),
  acknowledged: count,
  window,
  redelivered: fc.boolean(),
});

export const message: fc.Arbitrary<Message> = fc.oneof(
  record({
    kind: fc.constant("hello" as const),
    protocol: position,
    lineage,
    incarnation: count,
    epoch: count,
    nextSequence: position,
    peerLineage: fc.oneof(lineage, fc.constant("" as const)),
    peerEpoch: count,
    mark: count,
    window,
    addresses: fc.array(fc.string({ unit: "binary", minLength: 1, maxLength: 60 }), { maxLength: 8 }),
  }).chain((hello) => fc.integer({ min: 1, max: hello.nextSequence }).map((lowestUnacknowledged) => ({ ...hello, lowestUnacknowledged }))),
  record({ kind: fc.constant("envelope" as const), header: transmissionHeader, body: sealedBody }),
  record({ kind: fc.constant("acknowledge" as const), acknowledged: count, window, gap: fc.boolean() }),
  record({ kind: fc.constant("heartbeat" as const), beat: count, acknowledged: count, window, sentAtUs: count, intervalUs: count }),
  record({ kind: fc.constant("heartbeat-echo" as const), beat: count }),
  record({ kind: fc.constant("backoff-notice" as const), minBackoffNs: duration }),
  record({ kind: fc.constant("goodbye" as const), code: name }),
);

/** Any message as a complete frame. */
export function frameOf(given: Message): Uint8Array {
  return given.kind === "envelope" ? encodeEnvelopeFrame(given.header, sealBody(given.body)) : encodeMessageFrame(given);
}
