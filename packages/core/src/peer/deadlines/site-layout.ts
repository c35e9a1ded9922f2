/**
 * Where each number of an estimate, of a tail and of a site lies. Of literals alone: who bundles this has the numbers, and no
 * names.
 */

/** Numbers that an estimate takes, and which is which. */
export const EMA_CELLS = 4;
export const SRTT = 0;
export const RTTVAR = 1;
export const COUNT = 2;
export const EMA_UPDATED_AT = 3;

/** Words of 16 bits that a tail takes, and which is which: all zeros are an empty one. From `SPARE` to `COUNTS` they are the lender's own. */
export const TAIL_WORDS = 76;
export const TOTAL = 0;
export const MEDIAN = 1;
export const BELOW = 2;
export const TOP = 3;
export const ABOVE = 4;
/** Samples in a row below the median, the largest bucket of them, and how unlikely they are, as a power of two. */
export const RUN_LENGTH = 5;
export const RUN_TOP = 6;
export const RUN_UNLIKELY = 7;
/** Where the next sample that is only known to exceed a time falls among those that do. No part of the state. */
export const TURN = 8;
export const SPARE = 9;
export const COUNTS = 12;

/** A site's numbers: the estimate of all its round trips, then these, then the tail. All zeros are a site of which nothing is known. */
export const TIMED_OUT_AT = EMA_CELLS;
/** The share of attempts that were given up unanswered, of the last 64 or so. */
export const CENSORED_SHARE = EMA_CELLS + 1;
/** Imputed samples that the tail has not been told of, as they are shares of one. */
export const IMPUTED = EMA_CELLS + 2;
export const TAIL = EMA_CELLS + 3;
/** The same bytes as words of 16 bits: among the tail's, where it has no use for them. */
export const TAIL_AT = 4 * TAIL;
export const TIMEOUTS = TAIL_AT + SPARE;
export const WIDENING = TIMEOUTS + 1;

/** Numbers that a site takes, with a tail and without. */
export const SITE_CELLS = TAIL + TAIL_WORDS / 4;
export const SITE_CELLS_WITHOUT_TAIL = TAIL + COUNTS / 4;
