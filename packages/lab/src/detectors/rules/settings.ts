import { NS_PER_MS, NS_PER_S } from "@holdfast/core";

/**
 * The settings of every rule, as published; each rule's file names the publication. Where a paper leaves a number to
 * its user we take that of a public implementation, and say so.
 */
export const SETTINGS = {
  fixed: { timeoutNs: 5 * NS_PER_S },
  cassandra: { phi: 8, window: 1000, seedNs: 2 * NS_PER_S, longestNs: 2 * NS_PER_S, pauseNs: 5 * NS_PER_S },
  chitchat: { threshold: 8, window: 1000, priorNs: 5 * NS_PER_S, priorWeight: 5, longestNs: 10 * NS_PER_S },
  akka: { phi: 8, window: 1000, leastDeviationNs: 100 * NS_PER_MS, acceptablePauseNs: 3 * NS_PER_S, firstNs: NS_PER_S },
  swim: { periodNs: NS_PER_S, suspicionMult: 4, suspicionMaxMult: 6, members: 8, scoreMax: 7, missedNacks: 3 },
  chen: { window: 1000, periodNs: NS_PER_S, marginNs: 1250 * NS_PER_MS },
  bertier: { window: 1000, periodNs: NS_PER_S, gamma: 0.1, beta: 1, phi: 4 },
  twoWindows: { short: 1, long: 1000, periodNs: NS_PER_S, marginNs: 1250 * NS_PER_MS },
} as const;
