/** The laboratory: traces, rules, and what the rules make of the traces. */
export type { Laboratory, LabOptions } from "./laboratory.ts";
export { LABORATORIES } from "./laboratories.ts";
