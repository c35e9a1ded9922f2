import type { Policy, PolicyEntry } from "./policy.ts";

const nothing = { began() {}, ended() {} };

export const ROUND_ROBIN: PolicyEntry = {
  name: "round robin", settings: "each in turn",
  begin(): Policy {
    let turn = 0;
    return { ...nothing, pick: (members) => members[turn++ % members.length] as number };
  },
};

export const RANDOM: PolicyEntry = {
  name: "random", settings: "uniform",
  begin: (_servers, random): Policy => ({ ...nothing, pick: (members) => members[random.below(members.length)] as number }),
};
