import { ask, parseJson } from "./ask.ts";
import type { Target } from "./ask.ts";

export async function signal(id: string, event: string, { value, ...target }: Target & { readonly value: string }): Promise<void> {
  const given = parseJson("--value", value);
  await ask(target, (client) => client.call("signal", { execution: id, event, value: given }));
  console.log(`${event} is handed to ${id}`);
}
