/** Ms since 1970 as people read it. */
export function timeText(ms: number | "never" | null): string {
  if (ms === null) return "-";
  return ms === "never" ? "never" : new Date(ms).toISOString().replace("T", " ").slice(0, 19);
}

/** `2 d 3 h`, `4 min 5 s`, `6 s`. */
export function spanText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return first === -1 ? "0 s" : parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}
