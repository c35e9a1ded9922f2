import assert from "node:assert/strict";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { after, mock, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { temporaryIdentity } from "../identity/identity.ts";
import { ecdsaIdentity, wronglySignedIdentity } from "../identity/testing/forged-identity.ts";
import { linkConformance } from "./testing/link-conformance.ts";
import { tlsTransport } from "./tls-link.ts";
import { UNAUTHENTICATED_MAX } from "./tls-listener.ts";

const [ann, bob, eve] = [temporaryIdentity(), temporaryIdentity(), temporaryIdentity()];
const pair = {
  dialler: tlsTransport(ann), dialPeer: ann.peerId,
  listener: tlsTransport(bob), listenPeer: bob.peerId,
  strangerPeer: eve.peerId,
};

linkConformance("tls link", () => ({ ...pair, address: "/ip4/127.0.0.1/tcp/0" }));
linkConformance("tls link over IPv6", () => ({ ...pair, address: "/ip6/::1/tcp/0" }));

const listen = (onLink = () => {}) => pair.listener.listen("/ip4/127.0.0.1/tcp/0", () => true, onLink);
const portOf = (address: string) => Number(address.split("/").at(-1));
const ended = (socket: Socket) => new Promise<void>((resolve) => socket.on("error", () => {}).once("close", () => resolve()).resume());

test("tls link: a client without a certificate, or that speaks no TLS, is dropped; others are served", async () => {
  let links = 0;
  const listening = await listen(() => links++);
  const port = portOf(listening.address);
  await ended(connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }));
  await ended(connectTcp({ port, host: "127.0.0.1" }).end("GET / HTTP/1.1\r\n\r\n"));
  assert.equal(links, 0);
  const link = await pair.dialler.dial(listening.address, bob.peerId, AbortSignal.timeout(5000));
  link.destroy();
  await listening.close();
});

test("tls link: nobody is heard from an address that is not admitted, whoever it is", async () => {
  const remotes: string[] = [];
  const admitAddress = (remote: string) => remotes.push(remote) < 0;
  const listening = await pair.listener.listen("/ip4/127.0.0.1/tcp/0", () => assert.fail("an address comes first"), () => assert.fail("a link"), admitAddress);
  await assert.rejects(pair.dialler.dial(listening.address, bob.peerId, AbortSignal.timeout(5000)));
  assert.match(remotes.join(), /^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/);
  await listening.close();
});

test("tls link: of the addresses of a name only those admitted are dialled, and the link says which answered", async () => {
  const listening = await listen();
  const name = `/dns4/localhost/tcp/${portOf(listening.address)}`;
  const dial = (admit: (remote: string) => boolean) => pair.dialler.dial(name, bob.peerId, AbortSignal.timeout(5000), admit);
  const link = await dial((remote) => remote === listening.address);
  assert.equal(link.remote, listening.address);
  link.destroy();
  await assert.rejects(dial(() => false), /policy denies every address of localhost/);
  await listening.close();
});

test("tls link: TLS 1.2 is refused", async () => {
  const listening = await listen(() => assert.fail("a link"));
  const socket = connectTls({
    port: portOf(listening.address), host: "127.0.0.1", maxVersion: "TLSv1.2",
    key: ann.keyPem, cert: ann.certificatePem, rejectUnauthorized: false,
  });
  await ended(socket);
  assert.equal(socket.authorized, false);
  await listening.close();
});

for (const [kind, forge] of [["of another kind of key", ecdsaIdentity], ["that another key signed", wronglySignedIdentity]] as const) {
  test(`tls link: a certificate ${kind} is refused by either side`, async () => {
    const { keyPem: key, certificatePem: cert } = forge();
    const listening = await listen(() => assert.fail("a link"));
    await ended(connectTls({ port: portOf(listening.address), host: "127.0.0.1", key, cert, rejectUnauthorized: false }));
    await listening.close();

    const forger = createTlsServer({ key, cert }, (socket) => socket.on("error", () => {}));
    await new Promise<void>((resolve) => forger.listen(0, "127.0.0.1", resolve));
    const address = `/ip4/127.0.0.1/tcp/${(forger.address() as { port: number }).port}`;
    await assert.rejects(pair.dialler.dial(address, bob.peerId, AbortSignal.timeout(5000)), { code: "CERTIFICATE_INVALID", blame: "peer" });
    await new Promise((resolve) => forger.close(resolve));
  });
}

test("tls link: a dial that nobody answers rejects, and one that hangs can be aborted", async () => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const address = `/ip4/127.0.0.1/tcp/${(silent.address() as { port: number }).port}`;
  const abort = new AbortController();
  const hanging = pair.dialler.dial(address, bob.peerId, abort.signal);
  silent.once("connection", (socket) => {
    socket.on("error", () => {});
    abort.abort(new Error("enough"));
  });
  await assert.rejects(hanging, /enough/);
  await new Promise((resolve) => silent.close(resolve));
  await assert.rejects(pair.dialler.dial(address, bob.peerId, AbortSignal.timeout(5000)), { code: "ECONNREFUSED" });
});

test("tls link: connections that never authenticate are bounded, and dropped in time", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  after(() => mock.timers.reset());
  const listening = await listen();
  const dial = async () => {
    const socket = connectTcp({ port: portOf(listening.address), host: "127.0.0.1" });
    const closed = ended(socket);
    await new Promise((resolve) => socket.once("connect", resolve));
    return { socket, closed };
  };
  const idle = [];
  for (let index = 0; index < UNAUTHENTICATED_MAX; index++) idle.push(await dial());
  await (await dial()).closed; // one too many
  mock.timers.tick(10_000);
  await Promise.all(idle.map(({ closed }) => closed));
  mock.timers.reset();
  (await pair.dialler.dial(listening.address, bob.peerId, AbortSignal.timeout(5000))).destroy();
  await listening.close();
});

for (const address of ["/ip4/300.1.1.1/tcp/1", "/ip4/1.1.1.1/udp/1", "/ip4/1.1.1.1", "/ip4/1.1.1.1/tcp/1/ws"]) {
  test(`tls link: ${address} is no address`, async () => {
    await assert.rejects(pair.dialler.dial(address, bob.peerId, AbortSignal.timeout(1000)), { code: "ADDRESS_INVALID" });
  });
}
