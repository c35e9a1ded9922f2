/**
 * Commits to the store in a directory, for the tests of sqlite-store: each commit writes its position into 11 rows.
 *
 *     committing-child.ts DIRECTORY                        reports each acknowledged position, until it is killed
 *     committing-child.ts DIRECTORY until-failure [UID]    prints what was acknowledged and how it ended
 */
import type { RuntimeError } from "@holdfast/core";
import { openSqliteStore } from "../sqlite-store.ts";
import type { Row, Store } from "../store.ts";

const [directory, mode, uid] = process.argv.slice(2);
if (uid) process.setuid!(Number(uid));
const store = await openSqliteStore(directory!);

if (mode === "until-failure") {
  const codes: string[] = [];
  let acknowledged = 0;
  try {
    for (let { position } = await store.claim("ann"); ; ) {
      await commit(store, ++position);
      acknowledged = position;
    }
  } catch (error) {
    codes.push((error as RuntimeError).code);
  }
  if (acknowledged > 0) await commit(store, acknowledged + 100).catch((error: RuntimeError) => codes.push(error.code));
  console.log(JSON.stringify({ acknowledged, codes }));
  process.exit();
}

let { position } = await store.claim("ann");
// Several in flight, so that the kill finds one in every stage.
await Promise.all(Array.from({ length: 4 }, async () => {
  for (;;) {
    const mine = ++position;
    await commit(store, mine);
    process.send!(mine);
  }
}));

function commit(to: Store, at: number): Promise<void> {
  const puts = Array.from({ length: 11 }, (_, index): Row => {
    const bytes = Buffer.alloc(index === 10 ? 70_000 : 1000, index);
    bytes.writeDoubleBE(at);
    return [`row/${index}`, bytes];
  });
  return to.commit({ position: at, puts, deletes: [] });
}
