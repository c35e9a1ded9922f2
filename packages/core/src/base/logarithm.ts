const LOG10_2 = 0.30102999566398119521;
const LOG10_E = 0.43429448190325182765;
/** Terms of the series beyond the first: 0.172^24 is below the last digit of a double. */
const TERMS = 11;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
/** Which of a double's two words holds the exponent. */
const HIGH = ((): 0 | 1 => {
  double[0] = 1;
  return words[1] === 0 ? 0 : 1;
})();

/**
 * The decimal logarithm of a positive, finite, normal number, to some 2^−50 of its size. By the exponent's bits and the
 * series of artanh, with the four exact operations only, since `Math.log10` may differ from one machine to another.
 */
export function log10(value: number): number {
  double[0] = value;
  const word = words[HIGH] as number;
  let exponent = (word >>> 20) - 1023;
  words[HIGH] = ((word & 0xfffff) | 0x3ff00000) >>> 0; // 1 ≤ mantissa < 2
  let mantissa = double[0] as number;
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  const ratio = (mantissa - 1) / (mantissa + 1); // ln mantissa = 2 · artanh ratio, and |ratio| ≤ 0.172
  const square = ratio * ratio;
  let sum = 0;
  for (let term = TERMS; term >= 0; term--) sum = sum * square + 1 / (2 * term + 1);
  return exponent * LOG10_2 + 2 * ratio * sum * LOG10_E;
}
