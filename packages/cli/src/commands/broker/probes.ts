import { noneText } from "./status.ts";
import { askBrokers, noneRuns, printJson } from "./running-brokers.ts";
import type { DomainOptions, Reply } from "./running-brokers.ts";

interface Verdict {
  readonly domain: string;
  readonly ok: boolean;
  /** Why not. */
  readonly reason: string | null;
}

/** Each returns the exit status: 0 if at least one broker runs, and all that run are well. */
export async function healthz(options: DomainOptions): Promise<number> {
  return show(options, (await askBrokers<{ ok: boolean }>(options.domain, "healthz")).map((reply) =>
    reply.state === "up" ? { domain: reply.domain, ok: reply.answer.ok, reason: null } : silent(reply)));
}

export async function readyz(options: DomainOptions): Promise<number> {
  return show(options, (await askBrokers<{ ready: boolean; reason: string | null }>(options.domain, "readyz")).map((reply) =>
    reply.state === "up" ? { domain: reply.domain, ok: reply.answer.ready, reason: reply.answer.reason } : silent(reply)));
}

/** Of several brokers one after the other: a collector asks for one domain. */
export async function metrics({ domain, json }: DomainOptions): Promise<number> {
  const replies = await askBrokers<string>(domain, "metrics");
  const texts = replies.filter((reply) => reply.state === "up");
  if (json === true) printJson({ brokers: texts.map(({ domain: name, answer }) => ({ domain: name, text: answer })) });
  else if (replies.length === 0) throw noneRuns(domain); // Whoever reads the metrics must not take this for some.
  else process.stdout.write(texts.map(({ domain: name, answer }) => `${replies.length > 1 ? `# domain ${name}\n` : ""}${answer}`).join(""));
  for (const reply of replies) if (reply.state === "silent") console.error(`holdfast: ${reply.domain}: ${silent(reply).reason}`);
  return replies.length > 0 && texts.length === replies.length ? 0 : 1;
}

function show({ domain, json }: DomainOptions, verdicts: readonly Verdict[]): number {
  const ok = verdicts.length > 0 && verdicts.every((verdict) => verdict.ok);
  if (json === true) printJson({ ok, brokers: verdicts });
  else console.log(verdicts.length === 0 ? noneText(domain) : verdicts.map(verdictText).join("; "));
  return ok ? 0 : 1;
}

function verdictText({ domain, ok, reason }: Verdict): string {
  return `${domain}: ${ok ? "ok" : (reason ?? "not ok")}`;
}

function silent(reply: Reply<unknown> & { state: "silent" }): Verdict {
  return { domain: reply.domain, ok: false, reason: `process ${reply.pid ?? "unknown"} does not answer` };
}
