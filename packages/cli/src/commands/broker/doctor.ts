import { checkMachine } from "./check-machine.ts";
import { checkDomains, checkRuntimeDirectory } from "./check-runtime.ts";
import { checkServices } from "./check-services.ts";
import { checkUnits } from "./check-units.ts";
import { printJson } from "./running-brokers.ts";
import type { DomainOptions } from "./running-brokers.ts";

/** Looks, and changes nothing. The exit status: 1 if a check fails; a warning fails nothing. */
export async function doctor({ domain, json }: DomainOptions): Promise<number> {
  const findings = [
    ...checkMachine(), ...checkUnits(), ...checkRuntimeDirectory(), ...(await checkDomains(domain)), ...checkServices(domain),
  ];
  const count = (level: string) => findings.filter((found) => found.level === level).length;
  const ok = count("fail") === 0;
  if (json === true) printJson({ ok, findings });
  else {
    for (const { level, check, about, text } of findings) console.log(`${level.toUpperCase()}  ${check}${about === null ? "" : ` ${about}`}: ${text}`);
    console.log(`passed: ${count("pass")}, warnings: ${count("warn")}, failed: ${count("fail")}`);
  }
  return ok ? 0 : 1;
}
