/** A process of this benchmark: runs `run` of the file that it is told, with the parameters that it is told. */
import { leaveWithParent } from "./parent.ts";

const [file, parameters] = process.argv.slice(2) as [string, string];
leaveWithParent();
const { run } = (await import(`./${file}`)) as { run(parameters: unknown): Promise<void> };
await run(JSON.parse(parameters));
