/**
 * Leaves out as many items as it can while `fails` holds: halves first, then quarters, down to single ones.
 *
 * Source: Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input" (ddmin; complements only).
 */
export function reduce<Item>(items: readonly Item[], fails: (kept: readonly Item[]) => boolean): readonly Item[] {
  if (items.length === 0 || fails([])) return [];
  let kept = items;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length; ) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (fewer.length > 0 && fails(fewer)) kept = fewer;
      else at += size;
    }
  }
  return kept;
}

/** The smallest number from 0 on that still fails, if smaller ones fail less and less. */
export function reduceNumber(value: number, fails: (smaller: number) => boolean): number {
  let [low, high] = [0, value];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (fails(middle)) high = middle;
    else low = middle + 1;
  }
  return high;
}
