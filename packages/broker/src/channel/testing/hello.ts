/** Stands for a client's Hello in the channel's tests: which client it is, in so many bytes. */
export const HELLO_BYTES = 16;

export function helloOf(client: number): string {
  return `hello ${client}`.padEnd(HELLO_BYTES - 1) + "\n";
}

export function parseHello(bytes: Buffer): number {
  return Number(bytes.toString("latin1", "hello ".length, HELLO_BYTES));
}
