/** The other end, seen from one of this benchmark's processes. */
import { once } from "node:events";

/** Whoever started this process ended, in whatever way: nobody wants the result. */
export function leaveWithParent(): void {
  process.once("disconnect", () => process.exit());
}

export function say(message: object): void {
  process.send?.(message);
}

export async function hear<T>(): Promise<T> {
  const [message] = (await once(process, "message")) as [T];
  return message;
}
