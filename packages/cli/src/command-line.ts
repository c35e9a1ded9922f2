import { Command, InvalidArgumentError, Option } from "commander";
import { addBrokerCommands } from "./commands/broker/add-broker-commands.ts";

/** Results are kept so long and so many of them, unless a node's `engine` options say otherwise (docs/LIMITS.md). */
const RETENTION = "Results are kept for 24 h, and the latest 10 000 at most; then their ids are forgotten.";

/** The `holdfast` command. Each command's code is loaded when it is called: `holdfast status` needs no supervisor. */
export function commandLine(): Command {
  const program = new Command("holdfast")
    .description("Runs fleets of Holdfast nodes, and talks to them.")
    .exitOverride()
    .showHelpAfterError("(holdfast help shows what can be asked)")
    .addHelpText("after", "\nExit status: 0 done, 1 failed, 2 bad usage. HOLDFAST_DEBUG=1 adds stack traces.");
  addFleetCommands(program);
  addExecutionCommands(program);
  addNodeCommands(program);
  addBrokerCommands(program);
  for (const command of allCommands(program)) command.exitOverride();
  return program;
}

function addFleetCommands(program: Command): void {
  program.command("up").argument("<file>", "the fleet file").argument("[args...]", "for the fleet's job")
    .description("Run a fleet, and its job if it has one. Ctrl-C drains it; a second Ctrl-C ends it at once.")
    .addOption(dataOption("where state is kept (default: .holdfast/NAME)"))
    .option("--no-chaos", "do not kill and stop nodes while the job runs")
    .option("--keep", "leave the fleet up when its job is done, and its state when it goes down")
    .option("--export <file>", "write what the job made")
    .option("--seed <number>", "what chaos draws its victims from", wholeNumber)
    .action(async (file: string, args: string[], options) => {
      process.exitCode = await (await import("./commands/up.ts")).up(file, args, options);
    });
  program.command("node", { hidden: true }).argument("<file>").argument("<name>").addOption(dataOption("the fleet's directory").makeOptionMandatory())
    .description("Run one node of a fleet: what `up` starts.")
    .action(async (file: string, name: string, { data }) => {
      const { FleetDirectory } = await import("./fleet/fleet-directory.ts");
      process.exitCode = await (await import("./supervise/node-process.ts")).runNode(file, name, new FleetDirectory(data));
    });
  program.command("status").description("Show the fleet's nodes.").addOption(dataOption()).addOption(jsonOption())
    .action(async (options) => (await import("./commands/status.ts")).status(options));
  program.command("id").argument("[node]", "default: all").description("Print the peer ids of the fleet's nodes.").addOption(dataOption())
    .action(async (node: string | undefined, options) => (await import("./commands/id.ts")).id(node, options));
}

function addExecutionCommands(program: Command): void {
  program.command("run").argument("<flow>", "its name").description("Start a flow, wait for it and print its outputs as JSON.")
    .option("--input <json>", "the flow's input ports (default: {})", "{}")
    .option("--id <id>", "the execution's id: the same one is started only once")
    .option("--detach", "print the execution's id and do not wait")
    .addOption(nodeOption()).addOption(dataOption()).addOption(jsonOption("one line, without indentation"))
    .action(async (flow: string, options) => (await import("./commands/run.ts")).run(flow, options));
  const executions = program.command("executions").description(`Show a node's executions. ${RETENTION}`);
  executions.command("list", { isDefault: true }).description(`List them. ${RETENTION}`)
    .addOption(nodeOption()).addOption(dataOption()).addOption(jsonOption())
    .action(async (options) => (await import("./commands/executions.ts")).listExecutions(options));
  executions.command("show").argument("<id>").description("Show one, with its operations and what each waits for.")
    .addOption(nodeOption()).addOption(dataOption()).addOption(jsonOption())
    .action(async (id: string, options) => (await import("./commands/executions.ts")).showExecution(id, options));
  executions.command("cancel").argument("<id>").description("Cancel one, with all that it started.")
    .addOption(nodeOption()).addOption(dataOption())
    .action(async (id: string, options) => (await import("./commands/executions.ts")).cancelExecution(id, options));
  executions.command("retry").argument("<id>").description("Start a failed one again, under its id and with its input.")
    .addOption(nodeOption()).addOption(dataOption())
    .action(async (id: string, options) => (await import("./commands/executions.ts")).retryExecution(id, options));
  program.command("signal").argument("<id>").argument("<event>").description("Hand an event to an execution that waits for it.")
    .option("--value <json>", "what comes with it", "null").addOption(nodeOption()).addOption(dataOption())
    .action(async (id: string, event: string, options) => (await import("./commands/signal.ts")).signal(id, event, options));
  program.command("flow").description("Look at flows.")
    .command("show").argument("<flow>").argument("[file]", "the fleet file (default: the running fleet's)")
    .description("Show a flow's program before and after the compiler.")
    .option("--mermaid", "as Mermaid flowcharts").option("--passes", "after every pass").addOption(dataOption())
    .action(async (flow: string, file: string | undefined, options) => (await import("./commands/flow-show.ts")).showFlow(flow, file, options));
}

function addNodeCommands(program: Command): void {
  addPeersCommand(program);
  program.command("snapshot").argument("<node>").description("Print what a node has stored, running or not.")
    .option("--out <file>", "write the snapshot itself, for `restore`").addOption(dataOption()).addOption(jsonOption())
    .action(async (node: string, options) => (await import("./commands/snapshot.ts")).snapshot(node, options));
  program.command("restore").argument("<node>").argument("[file]", "a snapshot (default: what the node has stored)")
    .description("Put a snapshot in place of what a stopped node has stored.")
    .option("--new-lineage", "give up the history: peers forget what they had under way with the node").addOption(dataOption())
    .action(async (node: string, file: string | undefined, options) => (await import("./commands/restore.ts")).restore(node, file, options));
}

function addPeersCommand(program: Command): void {
  const who = "a peer's name or id, a range of addresses (10.0.0.0/8, 2001:db8::/32) or a protocol (/ws)";
  program.command("peers").argument("[node]").description("Show what a node thinks of its peers, and say whom it may talk to; or what a state file of @holdfast/fetch knows.")
    .addOption(new Option("--state <file>", "such a file's peers in place of a node's; goes with --explain, --block, --unblock"))
    .addOption(new Option("--explain <peer>", "all about one peer: why it is not talked to, and what comes next; a name, an id, or how one begins"))
    .addOption(new Option("--policy", "show who is kept out or let in, by whom and why"))
    .addOption(new Option("--block <who>", `end everything with it and keep it out: ${who}`))
    .addOption(new Option("--unblock <who>", "take a block back"))
    .addOption(new Option("--allow-only <who...>", "let nobody in but these"))
    .addOption(new Option("--allow-all", "let everybody in who is not blocked"))
    .addOption(new Option("--for <time>", "how long a block or an allowance holds: 30s, 10m, 2h, 1d (default: for good)").argParser(durationMs))
    .addOption(new Option("--reason <text>", "why, for those who ask later"))
    .addOption(dataOption()).addOption(jsonOption())
    .action(async (node: string | undefined, options) => (await import("./commands/peers.ts")).peers(node, options));
}

function dataOption(description = "the fleet's directory (default: the only one in .holdfast)"): Option {
  return new Option("--data <dir>", description);
}

function jsonOption(description = "as JSON"): Option {
  return new Option("--json", description);
}

function nodeOption(): Option {
  return new Option("--node <name>", "the node to ask (default: the fleet's first)");
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new InvalidArgumentError("It is not a whole number.");
  return number;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function durationMs(text: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit ?? ""] ?? NaN);
  if (!(ms > 0)) throw new InvalidArgumentError("It is not a time such as 30s, 10m or 2h.");
  return ms;
}

function* allCommands(command: Command): Iterable<Command> {
  yield command;
  for (const inner of command.commands) yield* allCommands(inner);
}
