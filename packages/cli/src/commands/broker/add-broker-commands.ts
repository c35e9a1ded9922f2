import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";

const IDEA = `
A service is a program of yours that many clients use, and that is to run once. Its definition, one small file, says how
it is started. A client connects by the service's name and a version: straight to the running program if there is one.
If not, a broker (one process for each trust domain, started by the first client that needs it) starts the program, hands
the live connection over to it, and later replaces it by another version without dropping a connection. When the broker
dies nothing else does: programs and connections go on, and the next broker takes them over.

  holdfast broker services                 what is defined, and what of it runs
  holdfast broker doctor                   what is wrong here, if anything is; looks and changes nothing
  holdfast broker status                   every broker and its backends
  holdfast broker upgrade greeter 2.0.0    start 2.0.0, send clients there, let 1.x finish
  holdfast broker quiesce greeter          let it finish; the next client starts it again
  holdfast broker shutdown --leave-backends

Commands that look ask every broker of this user that runs; those that change something mean the service's own, or the only
one. Exit status: 0 done, 1 failed, refused or not there, 2 bad usage.
More: docs/BROKER.md.`;

const DEFAULT_DOMAIN = "shared";

/** `holdfast broker …`. */
export function addBrokerCommands(program: Command): void {
  const broker = program.command("broker").summary("start, watch and replace services (holdfast broker help)")
    .description("Start, watch and replace services: programs that clients connect to by name.").addHelpText("after", IDEA).showHelpAfterError(false);
  addLookingCommands(broker);
  addChangingCommands(broker);
  addStartingCommands(broker);
}

function addLookingCommands(broker: Command): void {
  const verb = (name: string, summary: string, description: string) =>
    broker.command(name).summary(summary).description(description).addOption(domainOption()).addOption(jsonOption());
  verb("status", "the brokers that run, and their backends", "Show the brokers that run, and their backends. Exit status 1 if none runs.")
    .action(async (options) => exit((await import("./status.ts")).status(options)));
  verb("services", "what is defined, and what of it runs", "Show which services are defined, their versions, and what of them runs. Needs no broker.")
    .action(async (options) => (await import("./services.ts")).services(options));
  verb("doctor", "look for what keeps services from working", "Look for what keeps services from working: exit status 1 if something does. Needs no broker, and changes nothing.")
    .action(async (options) => exit((await import("./doctor.ts")).doctor(options)));
  verb("healthz", "does every broker answer?", "Does every broker answer? Exit status 0 or 1; 1 if none runs.")
    .action(async (options) => exit((await import("./probes.ts")).healthz(options)));
  verb("readyz", "does every broker take new clients?", "Does every broker take new clients? Exit status 0 or 1; 1 if none runs.")
    .action(async (options) => exit((await import("./probes.ts")).readyz(options)));
  verb("metrics", "the brokers' metrics, for Prometheus", "Print the brokers' metrics, in the text format of OpenMetrics.")
    .action(async (options) => exit((await import("./probes.ts")).metrics(options)));
}

function addChangingCommands(broker: Command): void {
  const verb = (name: string, summary: string, description: string) => broker.command(name).summary(summary).description(description)
    .addOption(domainOption("the broker's trust domain (default: the service's, or that of the only broker that runs)")).addOption(jsonOption());
  verb("upgrade", "replace what runs by another version",
    "Start a version of a service, send its clients there from now on, and let the others finish. Starts a broker if none runs.")
    .argument("<service>").argument("<version>")
    .action(async (service: string, version: string, options) => (await import("./operate.ts")).upgrade(service, version, options));
  verb("quiesce", "let backends finish, and end", "Let backends finish their connections and end. The next client starts one again.")
    .argument("[service]", "default: all of the broker's")
    .action(async (service: string | undefined, options) => (await import("./operate.ts")).quiesce(service, options));
  verb("shutdown", "end a broker", "End a broker, and its backends once their connections have ended (10 s at most).")
    .option("--leave-backends", "they go on, and the next broker takes them over")
    .action(async (options) => (await import("./operate.ts")).shutdown(options));
}

function addStartingCommands(broker: Command): void {
  const verb = (name: string, summary: string, description: string) => broker.command(name).summary(summary).description(description)
    .addOption(domainOption("its trust domain").default(DEFAULT_DOMAIN)).option("--allow-root", "even as root, as HOLDFAST_ALLOW_ROOT=1 does");
  verb("start", "start a broker if none runs", "Start a broker if none runs. Clients do the same by themselves. It ends after a minute without work.")
    .addOption(jsonOption())
    .action(async (options) => (await import("./start.ts")).start(options));
  verb("run", "be a broker, for service managers", "Be a broker, in the foreground: for service managers (contrib/).")
    .option("--idle-ms <number>", "end after so long without work (default: never)", positive)
    .addOption(new Option("--channel <kind>", "how connections are passed on").choices(["auto", "raw", "public"]))
    .addOption(new Option("--handoff <policy>", "whether they are, for services that do not say").choices(["on", "off"]))
    .action(async (options) => (await import("./start.ts")).run(options));
}

async function exit(status: Promise<number>): Promise<void> {
  process.exitCode = await status;
}

function domainOption(description = "this trust domain (default: all)"): Option {
  return new Option("--domain <name>", description).argParser(named);
}

function jsonOption(): Option {
  return new Option("--json", "as JSON");
}

/** It becomes the name of a directory. */
function named(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) throw new InvalidArgumentError("It is not a domain's name.");
  return text;
}

function positive(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("It is not a whole number above 0.");
  return number;
}
