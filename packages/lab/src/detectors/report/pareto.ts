export interface Point {
  readonly name: string;
  /** Both are better when less. */
  readonly detectionP99: number;
  readonly cost: number;
  /** Our verdicts are one detector: none of them is held against another. */
  readonly isOurs?: boolean | undefined;
}

/** On the front, or which rule is at least as good in both and better in one; a control is not judged. */
export type Verdict = Readonly<{ kind: "front" } | { kind: "dominated"; by: string } | { kind: "control" }>;

/** Which points no other beats. A dominated one names the point of the front that does, the one with the least cost if several do. */
export function verdicts(points: readonly Point[]): Map<string, Verdict> {
  const front = points.filter((point) => !points.some((other) => dominates(other, point)));
  return new Map(points.map((point) => {
    const all = points.filter((other) => dominates(other, point)).sort((a, b) => a.cost - b.cost);
    // Of our two verdicts one may be beaten only by what the other beats: then nobody of the front beats it.
    const better = all.find((other) => front.includes(other)) ?? all[0];
    return [point.name, better === undefined ? { kind: "front" } : { kind: "dominated", by: better.name }];
  }));
}

function dominates(a: Point, b: Point): boolean {
  if (a.isOurs === true && b.isOurs === true) return false;
  const atLeast = a.detectionP99 <= b.detectionP99 && a.cost <= b.cost;
  return atLeast && (a.detectionP99 < b.detectionP99 || a.cost < b.cost);
}
