/** The default bound of every table of peers or sites (docs/LIMITS.md). */
export const MAX_ENTRIES = 16384;

/**
 * Makes room in a full table for one more entry: drops a sixteenth of the entries, at least one, those with the
 * lowest rank, and tells `onEvict` each. In batches, so that a flood of new keys costs one sort per batch. Entries of
 * equal rank go in order of their keys: a table that was restored in another order drops the same ones.
 */
export function makeRoom<K extends string, V>(
  table: Map<K, V>,
  maxEntries: number,
  rank: (value: V) => number,
  onEvict: ((key: K, value: V) => void) | undefined,
): void {
  if (table.size < maxEntries) return;
  const ranked = Array.from(table, ([key, value]) => ({ key, value, rank: rank(value) }));
  ranked.sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : 1));
  for (const { key, value } of ranked.slice(0, Math.max(1, Math.floor(maxEntries / 16)))) {
    table.delete(key);
    onEvict?.(key, value);
  }
}
