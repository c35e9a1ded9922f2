import type { PeerTrace, Trace } from "../traces/trace.ts";

/** Of a rule that has several: which one is meant. */
export type Verdict = "suspect" | "down";

/**
 * One failure detector at work on one peer. Sans-IO: it is told what happens, in order of time, and says from when it
 * suspects. Times are whole ns on the observer's monotonic clock.
 */
export interface Rule {
  /** Beat `sequence` arrived, which its sender stamped with its clock: the first is 0, and those that were lost are left out. */
  beat(now: number, sequence: number, sentAt: number): void;
  /** The observer runs again after it did not for `pausedNs`. Only rules that notice their own pauses have it. */
  pause?(now: number, pausedNs: number): void;
  /**
   * The observer was started anew after it had not run for `stoppedNs`: what the rule's system stores is read back. A
   * rule without it begins with nothing.
   */
  restart?(now: number, stoppedNs: number): void;
  /**
   * From when the peer is suspected if nothing more arrives, Infinity = never; an instant that has passed = it is now.
   * All up to `until` has happened. What comes at or after `until` may be answered by any such instant.
   */
  suspectsAt(until: number, verdict?: Verdict): number;
}

export interface RuleEntry {
  readonly name: string;
  /** Its published settings, for people. */
  readonly settings: string;
  /** After a pause: reads what lies in its socket before it judges. Left out: its check was due first, and runs first. */
  readonly drainsFirst?: boolean;
  readonly isOurs?: boolean;
  /** Which verdict of its rule this entry is. Entries with the same `begin` are one rule, run once. */
  readonly verdict?: Verdict;
  /** Stands in the table of its trace to be compared with, and is judged no rule. */
  readonly isControl?: boolean;
  /** Left out: every trace. */
  readonly suits?: (trace: Trace) => boolean;
  /** A rule reads of the trace what its observer can ask others: what neighbours see, what the peer answers, what else arrives, and what the wall clock shows. */
  begin(peer: Pick<PeerTrace, "beginsAt" | "neighbours" | "wallJumps" | "answers" | "others">): Rule;
}
