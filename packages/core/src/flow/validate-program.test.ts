import assert from "node:assert/strict";
import { test } from "node:test";
import { compileFlows } from "./library.ts";
import { relay } from "./testing/random-flow.ts";
import { validateProgram } from "./validate-program.ts";
import type { Value } from "../base/value.ts";

const definitions = compileFlows([relay]);
const program = definitions.programs.get(definitions.flows.get("relay") as never) as unknown as { [key: string]: Value };
const operations = program["operations"] as readonly { [key: string]: Value }[];

/** The program with operation 2, the call, changed. */
function withCall(change: { [key: string]: Value }): Value {
  return { ...program, operations: operations.map((operation, index) => (index === 2 ? { ...operation, ...change } : operation)) };
}

const cases: readonly { name: string; value: Value; reason: RegExp }[] = [
  { name: "no record", value: [], reason: /format is missing/ },
  { name: "null", value: null, reason: /no record/ },
  { name: "another format", value: { ...program, format: 2 }, reason: /format/ },
  { name: "an unknown field", value: { ...program, more: 1 }, reason: /unknown field/ },
  { name: "a field less", value: Object.fromEntries(Object.entries(program).filter(([key]) => key !== "slots")), reason: /slots/ },
  { name: "a deadline of zero", value: { ...program, deadlineNs: 0 }, reason: /deadlineNs/ },
  { name: "a fractional version", value: { ...program, version: 1.5 }, reason: /version/ },
  { name: "a port without a slot", value: { ...program, inputs: [{ name: "x", schema: null }] }, reason: /inputs/ },
  { name: "a child that is no hash", value: { ...program, children: ["greet"] }, reason: /children/ },
  { name: "an unknown kind", value: withCall({ kind: "exec" }), reason: /operation 2/ },
  { name: "a kind of the prototype", value: withCall({ kind: "toString" }), reason: /operation 2/ },
  { name: "an operation's unknown field", value: withCall({ more: 1 }), reason: /operation 2/ },
  { name: "a negative slot", value: withCall({ inputs: [-1, 0, 0] }), reason: /operation 2/ },
  { name: "a hedge that is no option", value: withCall({ hedge: "auto" }), reason: /operation 2/ },
  { name: "no attempts", value: withCall({ attempts: 0 }), reason: /operation 2/ },
  { name: "a hop beyond 255", value: withCall({ chain: { id: "0".repeat(16), hop: 256 } }), reason: /operation 2/ },
  { name: "more slots than are written", value: { ...program, slots: 1_000_000_000 }, reason: /written by nothing/ },
  { name: "a call around its gate", value: withCall({ inputs: [2, 0] }), reason: /bypasses the gate/ },
];

for (const { name, value, reason } of cases) {
  test(`validateProgram: ${name} is refused`, () => {
    assert.throws(() => validateProgram(value), (error: { code?: string; details?: { part?: string; reason?: string } }) => {
      assert.deepEqual([error.code, error.details?.part], ["SNAPSHOT_INVALID", "program"]);
      assert.match(error.details?.reason ?? "", reason);
      return true;
    });
  });
}

test("validateProgram: a call may say that it is never hedged", () => {
  const value = withCall({ hedge: "never" });
  assert.equal(validateProgram(value), value);
});

test("validateProgram: what the compiler made is taken", () => {
  for (const compiled of definitions.programs.values()) assert.equal(validateProgram(compiled as unknown as Value), compiled);
});
