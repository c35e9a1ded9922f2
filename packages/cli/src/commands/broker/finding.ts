/**
 * pass: as it should be. warn: services work, but something is not as its owner may think. fail: something that is defined
 * or running here does not work, or would not if it were wanted now.
 */
export type Level = "pass" | "warn" | "fail";

export interface Finding {
  readonly level: Level;
  /** What was looked at: a name that stays. */
  readonly check: string;
  /** The trust domain or the service that it is about; null: all. */
  readonly about: string | null;
  readonly text: string;
}

export function finding(level: Level, check: string, text: string, about: string | null = null): Finding {
  return { level, check, about, text };
}
