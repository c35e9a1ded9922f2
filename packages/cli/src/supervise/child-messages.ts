/** What a node's process tells its supervisor. */
export type ChildMessage =
  | { readonly kind: "ready"; readonly id: string; readonly addresses: readonly string[] }
  /** It cannot start, and would not if it were started again. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/** Exit status of a process that was given something wrong: it is not started again. */
export const EXIT_USAGE = 2;

/** What a drain may take before the process ends anyway; a little more than the node allows itself. */
export const DRAIN_MS_MAX = 10_500;
