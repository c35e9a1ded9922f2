import { commandLine } from "./command-line.ts";
import { exitStatusOf, faultText } from "./faults.ts";

/** Parses the command line, runs the command and ends the process. The only place that catches everything. */
async function main(): Promise<void> {
  // Whoever reads our output may have seen enough: `holdfast status | head -1` is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
  });
  process.stderr.on("error", () => {});
  try {
    await commandLine().parseAsync();
  } catch (error) {
    const text = faultText(error);
    if (text !== undefined) console.error(`holdfast: ${text}`);
    process.exitCode = exitStatusOf(error);
  }
  // What still waits (a socket, a timer) has no say: the command is done.
  process.exit();
}

void main();
