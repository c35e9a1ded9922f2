import { powerOfTwo } from "./quantity.ts";

const LN_2 = 0.6931471805599453;
/** Beyond so many time constants nothing is left: e^−40 is below the last digit of what it would weigh. */
const SPENT = 40;
/** Terms of the series: (ln 2)^16 / 16! is below the last digit of a double. */
const TERMS = 15;

/**
 * What is left of a weight of 1 after `elapsedNs`: e^(−elapsed ÷ timeConstant). By halving and the exponential series,
 * with the four exact operations only, since `Math.exp` may differ from one machine to another. A negative time counts as none.
 */
export function decay(elapsedNs: number, timeConstantNs: number): number {
  const constants = elapsedNs / timeConstantNs;
  if (!(constants > 0)) return 1;
  if (constants >= SPENT) return 0;
  const halvings = Math.floor(constants / LN_2);
  const rest = constants - halvings * LN_2;
  let growth = 1;
  for (let term = TERMS; term >= 1; term--) growth = 1 + (rest * growth) / term;
  return 1 / (growth * powerOfTwo(halvings));
}
