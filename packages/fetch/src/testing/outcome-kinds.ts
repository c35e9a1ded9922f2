import type { OutcomeKind } from "../outcome.ts";

const KINDS: Readonly<Record<OutcomeKind, true>> = {
  "works": true, "refused": true, "reset": true, "dns": true, "tls": true, "timed-out": true, "overload": true, "server-error": true,
  "body-broken": true, "failed": true, "local": true, "cancelled": true,
};

/** All that there are. */
export const OUTCOME_KINDS = Object.keys(KINDS) as readonly OutcomeKind[];
