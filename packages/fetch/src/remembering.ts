/** Longer texts are worked out each time: what is remembered of one is bounded, too. */
const LENGTH_MAX = 256;

/**
 * The same function, which remembers its answers for up to `entriesMax` texts. When there are more, all are forgotten:
 * nothing is spent on knowing which are in use, and those are there again at once.
 */
export function remembering<T extends {} | null>(entriesMax: number, work: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const answer = known.get(text);
    if (answer !== undefined) return answer;
    const made = work(text);
    if (text.length > LENGTH_MAX) return made;
    if (known.size >= entriesMax) known.clear();
    known.set(text, made);
    return made;
  };
}
