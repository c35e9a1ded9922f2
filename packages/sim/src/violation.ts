/** What the checkers hold the nodes to, by name. A mutant must break one of them. */
export type Rule =
  /** A byte left before the state that it depends on was durable. */
  | "commit-before-release"
  /** A request took effect twice, or not at all, at some hop. */
  | "effect-once"
  /** The outside world was asked for one piece of work under two keys, or for two under one. */
  | "stable-key"
  /** What an application was told is durable is gone, or changed. */
  | "acknowledged-survives"
  /** A sequence, a mark, an acknowledgement or a position went back, or ahead of the other end's. */
  | "monotone"
  /** An owner that was overtaken wrote. */
  | "one-writer"
  /** The stored rows fold into another state than the live one. */
  | "fold"
  /** A start was given other rows than had become durable. */
  | "load"
  /** The same inputs gave other commits or other effects. */
  | "replay"
  /** An operation, a command or a place in the frontier was lost, or is left behind. */
  | "conservation"
  /** A table, an outbox or a window has grown beyond its bound. */
  | "bounds"
  /** Something is pending, and nothing drives it. */
  | "driver"
  /** A peer in cooldown was asked for something new. */
  | "gate"
  /** A peer that policy denies was dialled, sent something, or listened to. */
  | "denied-never-contacted"
  /** Work got more time than it was given, or ran without any. */
  | "deadline"
  /** An execution ran another version of its program than the one it began with, or not the newest. */
  | "edition"
  /** A snapshot is not the state that it was taken of. */
  | "snapshot"
  /** In a calm world something did not end. */
  | "progress"
  /** Everything ended, and something is left over. */
  | "at-rest"
  /** Honest nodes found that one of them misbehaves, or lost its history. */
  | "honest-peers"
  /** The outcome of a request is wrong. */
  | "outcome"
  /** A node failed in a way that no fault explains. */
  | "bug"
  /** The same seed took two paths. */
  | "deterministic";

/** The nodes broke a promise. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly rule: Rule;

  constructor(rule: Rule, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.rule = rule;
  }
}

export function require(condition: boolean, rule: Rule, message: () => string): void {
  if (!condition) throw new Violation(rule, message());
}
