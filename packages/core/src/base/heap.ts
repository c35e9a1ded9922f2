/**
 * A binary min-heap: `peek` costs nothing, `push` and `pop` log n comparisons. Items that compare equal come out in
 * any order (the same for the same pushes), so a comparator that must decide ties has to say so. There is no removal
 * from the middle: whoever cancels an item marks it, and skips it when it comes up.
 *
 * Invariant:
 *   H1. No item is less than its parent.
 */
export class Heap<Item> {
  readonly #items: Item[] = [];
  readonly #compare: (a: Item, b: Item) => number;

  /** `compare` is negative when `a` comes out before `b`. */
  constructor(compare: (a: Item, b: Item) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The least item, which stays. */
  peek(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt]!;
      if (this.#compare(item, parent) >= 0) break;
      items[at] = parent; // H1
      at = parentAt;
    }
    items[at] = item;
  }

  /** Takes the least item out. */
  pop(): Item | undefined {
    const items = this.#items;
    const least = items[0];
    const last = items.pop();
    if (items.length > 0) this.#sinkFromRoot(last!);
    return least;
  }

  #sinkFromRoot(item: Item): void {
    const items = this.#items;
    let at = 0;
    for (let childAt = 1; childAt < items.length; childAt = 2 * at + 1) {
      const right = childAt + 1;
      if (right < items.length && this.#compare(items[right]!, items[childAt]!) < 0) childAt = right;
      const child = items[childAt]!;
      if (this.#compare(child, item) >= 0) break;
      items[at] = child; // H1
      at = childAt;
    }
    items[at] = item;
  }
}
