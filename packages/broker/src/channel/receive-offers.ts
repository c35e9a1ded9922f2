import { receivePublicOffers } from "./public-channel.ts";
import { receiveRawOffers } from "./raw-channel.ts";
import type { ChannelDescription, OfferReceiver, OnOffer } from "./handoff-channel.ts";

/** The backend's end of the channel that its broker described. */
export function receiveOffers(description: ChannelDescription, onOffer: OnOffer): OfferReceiver {
  return description.kind === "raw" ? receiveRawOffers(description.fd, onOffer) : receivePublicOffers(onOffer);
}
