import { preparePublicChannel } from "./public-channel.ts";
import { prepareRawChannel, rawChannelAvailable } from "./raw-channel.ts";
import type { PreparedChannel } from "./handoff-channel.ts";

export interface ChannelOptions {
  /** "auto": raw where it is available. */
  readonly kind: "raw" | "public" | "auto";
  /** Where a raw channel's ends meet: private to us. */
  readonly directory: string;
}

/** Throws NOT_RUNNING for "raw" where it is not available. */
export async function prepareChannel({ kind, directory }: ChannelOptions): Promise<PreparedChannel> {
  const isRaw = kind === "raw" || (kind === "auto" && rawChannelAvailable());
  return isRaw ? await prepareRawChannel(directory) : preparePublicChannel();
}
