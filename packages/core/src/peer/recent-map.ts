/** Stores a value as the map's most recent one. At the bound the least recent one goes. */
export function setRecent<K, V>(map: Map<K, V>, key: K, value: V, maxEntries: number): void {
  if (!map.delete(key) && map.size >= maxEntries) {
    for (const [oldest] of map) {
      map.delete(oldest);
      break;
    }
  }
  map.set(key, value);
}
