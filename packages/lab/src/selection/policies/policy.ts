import type { Random } from "@holdfast/core";

/** How an attempt ended: with what was asked for, with an error, or given up because another was quicker. */
export type End = "ok" | "error" | "cancelled";

/** One balancer at work in one client. Sans-IO; times are whole ns. */
export interface Policy {
  /** Which of the members is asked; `members` is never empty. */
  pick(members: readonly number[], now: number): number;
  began(server: number, now: number): void;
  ended(server: number, end: End, latencyNs: number, now: number): void;
  /** Does it set the server aside by a verdict of its own? Left out: it has none. */
  isAside?(server: number, now: number): boolean;
}

export interface PolicyEntry {
  readonly name: string;
  /** Its published settings, for people. */
  readonly settings: string;
  readonly isOurs?: boolean;
  /** A second server is asked where the first does not answer within its learned budget. */
  readonly hedges?: boolean;
  begin(servers: number, random: Random): Policy;
}
