import { type AnyFlow, flow, pure } from "@holdfast/core";
import { countOnce, PORTS } from "./chain.ts";

/** What the application says when it approves. */
export const APPROVED = 40;
/** What stands for nobody having approved in time. */
export const NOBODY = -1;
/** How long `approval-soon` waits: ms. */
const SOON_MS = 1500;
/** What every approval takes after it came: ms. */
const AFTER_MS = 20;

const tally = pure("tally", { version: 1 }, (mine: number, said: number, _slept: null) => mine + said);
const nobody = pure("nobody", { version: 1 }, (_slept: null) => NOBODY);

/** Waits for its application, as long as that takes, and then sleeps a little. */
const approval = flow("approval", { ...PORTS, deadlineMs: "never" }, (b, { key }) => {
  const mine = b.update("counts", key, countOnce);
  const said = b.wait("approved") as never;
  return { n: b.pure(tally, mine, said, b.sleep(AFTER_MS, { after: [said] })) };
});

/** Does not wait for long. */
const approvalSoon = flow("approval-soon", { ...PORTS, deadlineMs: "never" }, (b, { key }) => {
  const mine = b.update("counts", key, countOnce);
  const said = b.race(b.wait("approved") as never, b.pure(nobody, b.sleep(SOON_MS))) as never;
  return { n: b.pure(tally, mine, said, b.sleep(AFTER_MS, { after: [said] })) };
});

export const APPROVAL_FLOWS = [approval, approvalSoon] as unknown as readonly AnyFlow[];
