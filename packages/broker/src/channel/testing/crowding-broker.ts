/** Offers more connections to a backend that stands still than the kernel keeps on their way, and prints what became of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareChannel } from "../prepare-channel.ts";
import { helloOf } from "./hello.ts";
import { TestBackend } from "./test-backend.ts";
import { TestDoor } from "./test-door.ts";

const OFFERED = 120;

const directory = mkdtempSync(join(tmpdir(), "crowd-"));
const door = await TestDoor.open(join(directory, "door"));
const backend = new TestBackend(await prepareChannel({ kind: "raw", directory }));
await backend.report("start");
connect(String(door.target)).write(helloOf(0));
const [caller] = await door.callers(1);

backend.child.kill("SIGSTOP");
for (let id = 0; id < OFFERED; id++) backend.offer({ ...caller!, client: id });
await backend.until(() => backend.answers.length > 0 || backend.losses > 0);
const refusedMeanwhile = backend.answers.length; // by the kernel: the backend stands still
backend.child.kill("SIGCONT");
await backend.until(() => backend.answers.length === OFFERED || backend.losses > 0);
const accepted = backend.answers.filter((answer) => answer.accepted).length;
const refused = backend.answers.filter((answer) => !answer.accepted && answer.reason === "no-handle").length;
process.stdout.write(JSON.stringify({ offered: OFFERED, accepted, refused, refusedMeanwhile, losses: backend.losses }));
await backend.end();
rmSync(directory, { recursive: true });
process.exit();
