import * as v from "valibot";
import { RuntimeError } from "@holdfast/core/peer";
import { checkMessage } from "../protocol/message-stream.ts";
import { ToBackend, ToBroker } from "../protocol/messages.ts";
import type { NackReason } from "../protocol/messages.ts";
import type { OfferAnswer } from "./handoff-channel.ts";

export const OfferMessage = ToBackend.options[0];
export const OfferHeadMessage = v.omit(OfferMessage, ["kind", "rest"]);

export function isOffer(message: unknown): boolean {
  return (message as { kind?: unknown } | null)?.kind === "offer";
}

export function answerMessage(id: number, refusal: NackReason | undefined): ToBroker {
  return refusal === undefined ? { kind: "ack", id } : { kind: "nack", id, reason: refusal };
}

/** Undefined if the message is about something else. Throws ENVELOPE_MALFORMED for an answer that is none. */
export function parseAnswer(message: unknown): OfferAnswer | undefined {
  const kind = (message as { kind?: unknown } | null)?.kind;
  if (kind !== "ack" && kind !== "nack") return undefined;
  const answer = checkMessage(ToBroker, message);
  if (answer.kind === "ack") return { id: answer.id, accepted: true };
  if (answer.kind === "nack") return { id: answer.id, accepted: false, reason: answer.reason };
  throw new RuntimeError("ENVELOPE_MALFORMED", { at: "kind" });
}
