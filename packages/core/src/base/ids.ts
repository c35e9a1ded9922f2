declare const brand: unique symbol;
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Names a physical peer: a multihash of its public key, base58btc text. Made by `parsePeerId` only. */
export type PeerId = Brand<string, "PeerId">;
/** Names one logical endpoint: a peer and what is asked of it. Opaque. Made by `siteId` only. */
export type SiteId = Brand<string, "SiteId">;
/** FNV-1a 64 of a chain's target list: 16 lower-case hexadecimal digits. */
export type ChainId = Brand<string, "ChainId">;
/** SHA-256 of a program's deterministic encoding: 64 lower-case hexadecimal digits. */
export type ProgramHash = Brand<string, "ProgramHash">;
/** Random 128 bits, 32 lower-case hexadecimal digits: names one unbroken history of a node. */
export type Lineage = Brand<string, "Lineage">;
/** Numbers the commands of a lineage; never used twice. */
export type CommandId = Brand<number, "CommandId">;
/** Names an execution: chosen by the application, or minted (`#` and a number, never used twice). */
export type ExecutionId = Brand<string, "ExecutionId">;

/** The site of everything about the link itself: acknowledgements and heartbeats. */
export const LINK_SITE = "link";

export function siteId(peer: PeerId, asked: string): SiteId {
  return `${peer}/${asked}` as SiteId;
}

/** Position in a multi-hop path: the id of the target list along nested calls, and this call's index in it (0 … 255). */
export interface Chain {
  readonly id: ChainId;
  readonly hop: number;
}
