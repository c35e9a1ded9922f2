import { ask, jsonText, parseJson } from "./ask.ts";
import type { Target } from "./ask.ts";

export interface RunOptions extends Target {
  readonly input: string;
  readonly id?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

export async function run(flow: string, { input, id, detach, json, ...target }: RunOptions): Promise<void> {
  const value = parseJson("--input", input);
  await ask(target, async (client) => {
    const execution = await client.call("start", { flow, input: value, ...(id === undefined ? {} : { id }) });
    if (detach === true) return console.log(execution);
    console.log(jsonText(await client.call("result", { execution }), json === true ? 0 : 2));
  });
}
