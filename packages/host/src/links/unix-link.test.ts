import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { temporaryIdentity } from "../identity/identity.ts";
import { linkConformance } from "./testing/link-conformance.ts";
import { unixTransport } from "./unix-link.ts";

const [ann, bob, eve] = [temporaryIdentity(), temporaryIdentity(), temporaryIdentity()];
const directory = mkdtempSync(join(tmpdir(), "holdfast-unix-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let next = 0;
const freePath = () => join(directory, `${next++}.sock`);
const bobs = unixTransport(bob);
const listen = (address: string) => bobs.listen(address, () => true, () => {});

linkConformance("unix link", () => ({
  dialler: unixTransport(ann), dialPeer: ann.peerId,
  listener: bobs, listenPeer: bob.peerId,
  address: `/unix${freePath()}`, strangerPeer: eve.peerId,
}));

test("unix link: only we may connect", async () => {
  const path = freePath();
  const listening = await listen(`/unix/${encodeURIComponent(path)}`); // multiaddr's own spelling
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  await listening.close();
});

test("unix link: a directory that others may write in is refused", async () => {
  const open = mkdtempSync(join(directory, "open-"));
  chmodSync(open, 0o777);
  await assert.rejects(listen(`/unix${open}/x.sock`), { code: "ADDRESS_INVALID" });
});

test("unix link: a dead process's socket is replaced, any other file is not", async () => {
  const path = freePath();
  // Renamed while bound, the socket file survives its server's close: just as after a kill.
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(`${path}.first`, resolve));
  renameSync(`${path}.first`, path);
  await new Promise((resolve) => dead.close(resolve));
  const listening = await listen(`/unix${path}`);
  await listening.close();

  writeFileSync(path, "precious");
  await assert.rejects(listen(`/unix${path}`), { code: "ADDRESS_IN_USE" });
  assert.equal(statSync(path).size, 8);
});

test("unix link: a path that does not fit into a socket's address is refused", async () => {
  await assert.rejects(listen(`/unix${directory}/${"x".repeat(120)}`), { code: "ADDRESS_INVALID", message: /at most/ });
});
