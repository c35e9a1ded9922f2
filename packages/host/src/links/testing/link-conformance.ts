import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { ENVELOPE_BYTES_MAX, type PeerId, RuntimeError } from "@holdfast/core";
import type { Link, Listener, Transport } from "../link.ts";

/** Two peers that can reach each other by one kind of link. */
export interface LinkPair {
  readonly dialler: Transport;
  readonly dialPeer: PeerId;
  readonly listener: Transport;
  readonly listenPeer: PeerId;
  /** One that nobody listens on, with the port left open where there is one. */
  readonly address: string;
  /** The id of somebody else. */
  readonly strangerPeer: PeerId;
}

/** What every kind of link promises (link.ts). */
export function linkConformance(name: string, pair: () => LinkPair): void {
  const check = (rule: string, body: (pair: LinkPair) => Promise<void>) =>
    test(`${name}: ${rule}`, { timeout: 10_000 }, () => body(pair()));

  check("each side knows the other, and who dialled", async (pair) => {
    await using ends = await connected(pair);
    assert.equal(ends.here.link.peer, pair.listenPeer);
    assert.equal(ends.there.link.peer, pair.dialPeer);
    assert.deepEqual([ends.here.link.dialled, ends.there.link.dialled], [true, false]);
  });

  check("1000 frames of one tick arrive whole, in order, in few bursts", async (pair) => {
    await using ends = await connected(pair);
    const sent = Array.from({ length: 1000 }, (_, index) => Buffer.from(`frame ${index}`));
    for (const body of sent) ends.here.link.send(frame(body));
    assert.ok(ends.here.link.buffered > 0);
    await ends.there.until(() => ends.there.bodies.length === 1000 && ends.there.bursts > 0);
    assert.deepEqual(ends.there.bodies, sent);
    assert.ok(ends.there.bursts < 100, `${ends.there.bursts} bursts`);
    await ends.here.until(() => ends.here.link.buffered === 0);
  });

  check("however the stream is cut, the frames are the same", async (pair) => {
    await using ends = await connected(pair);
    const bodies = [Buffer.from("a"), Buffer.alloc(300, "b"), Buffer.from("c")];
    const stream = Buffer.concat(bodies.map(frame));
    for (let at = 0; at < stream.length; at += 7) {
      ends.here.link.send(stream.subarray(at, at + 7)); // cut anywhere: a link does not look into what it sends
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ends.there.until(() => ends.there.bodies.length === 3);
    assert.deepEqual(ends.there.bodies, bodies);
  });

  check("both directions at once", async (pair) => {
    await using ends = await connected(pair);
    const body = randomBytes(10_000);
    for (let index = 0; index < 200; index++) {
      ends.here.link.send(frame(body));
      ends.there.link.send(frame(body));
    }
    for (const end of [ends.here, ends.there]) {
      await end.until(() => end.bodies.length === 200);
      assert.ok(end.bodies.every((received) => received.equals(body)));
    }
  });

  check("a frame of the largest size passes", async (pair) => {
    await using ends = await connected(pair);
    const body = randomBytes(ENVELOPE_BYTES_MAX);
    ends.here.link.send(frame(body));
    ends.here.link.send(frame(Buffer.from("after")));
    await ends.there.until(() => ends.there.bodies.length === 2);
    assert.ok(ends.there.bodies[0]!.equals(body));
  });

  check("a frame beyond the limit closes the link and blames the peer", async (pair) => {
    await using ends = await connected(pair);
    ends.here.link.send(frame(Buffer.from("fine")));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(ENVELOPE_BYTES_MAX + 1);
    ends.here.link.send(length);
    assertBlamesPeer(await ends.there.closed, "FRAME_TOO_LARGE");
    assert.equal(ends.there.bodies.length, 1);
    await ends.here.closed;
  });

  check("random bytes close the link, blame the peer, and nobody else notices", async (pair) => {
    await using ends = await connected(pair);
    const other = await ends.another();
    ends.here.link.send(Buffer.concat([Buffer.from([0xff]), randomBytes(100_000)]));
    assertBlamesPeer(await ends.there.closed);
    other.here.link.send(frame(Buffer.from("still here")));
    await other.there.until(() => other.there.bodies.length === 1);
  });

  check("close flushes, also 8 MiB, and both sides hear of it without an error", async (pair) => {
    await using ends = await connected(pair);
    for (let index = 0; index < 8; index++) ends.here.link.send(frame(Buffer.alloc(1 << 20, index)));
    ends.here.link.close();
    ends.here.link.close();
    ends.here.link.send(frame(Buffer.from("too late")));
    assert.equal(await ends.there.closed, undefined);
    assert.equal(await ends.here.closed, undefined);
    assert.deepEqual(ends.there.bodies.map((body) => body[0]), [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  check("close flushes although the peer is still sending", async (pair) => {
    await using ends = await connected(pair);
    for (let index = 0; index < 50; index++) ends.there.link.send(frame(Buffer.alloc(100_000)));
    ends.here.link.send(frame(Buffer.from("last words")));
    ends.here.link.close();
    await ends.there.closed;
    assert.deepEqual(ends.there.bodies.map(String), ["last words"]);
  });

  check("destroy closes both sides at once", async (pair) => {
    await using ends = await connected(pair);
    ends.here.link.destroy();
    ends.here.link.destroy();
    await ends.here.closed;
    await ends.there.closed;
    assert.deepEqual([ends.here.closes, ends.there.closes], [1, 1]);
  });

  check("no frame is delivered after a handler destroyed the link", async (pair) => {
    await using ends = await connected(pair);
    ends.there.onFrame = () => ends.there.link.destroy();
    for (let index = 0; index < 10; index++) ends.here.link.send(frame(Buffer.from("x")));
    await ends.there.closed;
    assert.equal(ends.there.bodies.length, 1);
  });

  check("a link that ended before it was opened says so", async (pair) => {
    await using ends = await connected(pair, { open: false });
    ends.there.link.destroy();
    ends.there.open();
    ends.here.open();
    await ends.there.closed;
    await ends.here.closed;
  });

  check("frames sent before the other side opens wait for it", async (pair) => {
    await using ends = await connected(pair, { open: false });
    ends.here.link.send(frame(Buffer.from("early")));
    ends.here.open();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ends.there.bodies.length, 0);
    ends.there.open();
    await ends.there.until(() => ends.there.bodies.length === 1);
  });

  check("one that answers under another id is refused", async (pair) => {
    const listening = await pair.listener.listen(pair.address, () => true, (link) => new End(link).open());
    const dialling = pair.dialler.dial(listening.address, pair.strangerPeer, AbortSignal.timeout(5000));
    await assert.rejects(dialling, { code: "CERTIFICATE_INVALID" });
    await listening.close();
  });

  check("a peer that is not admitted is closed and makes no link", async (pair) => {
    const asked: PeerId[] = [];
    const admit = (peer: PeerId, remote: string) => {
      assert.match(remote, /^\/[a-z0-9]+\//); // policy looks at it
      return asked.push(peer) < 0;
    };
    const listening = await pair.listener.listen(pair.address, admit, () => assert.fail("a link"));
    const link = await pair.dialler.dial(listening.address, pair.listenPeer, AbortSignal.timeout(5000));
    const here = new End(link);
    here.open();
    link.send(frame(Buffer.from("let me in")));
    await here.closed;
    assert.deepEqual(asked, [pair.dialPeer]);
    await listening.close();
  });

  check("an address is taken once, and free again after close", async (pair) => {
    const first = await pair.listener.listen(pair.address, () => true, () => {});
    const listenAgain = () => pair.listener.listen(first.address, () => true, () => {});
    await assert.rejects(listenAgain(), { code: "ADDRESS_IN_USE" });
    await first.close();
    const second = await listenAgain();
    assert.equal(second.address, first.address);
    await second.close();
    await assert.rejects(pair.dialler.dial(first.address, pair.listenPeer, AbortSignal.timeout(5000)));
  });

  check("links outlive their listener", async (pair) => {
    await using ends = await connected(pair);
    await ends.listening.close();
    ends.there.link.send(frame(Buffer.from("still here")));
    await ends.here.until(() => ends.here.bodies.length === 1);
  });

  check("an aborted dial rejects", async (pair) => {
    const listening = await pair.listener.listen(pair.address, () => true, (link) => new End(link).open());
    await assert.rejects(pair.dialler.dial(listening.address, pair.listenPeer, AbortSignal.abort(new Error("enough"))), /enough/);
    await listening.close();
  });

  check("an address of another kind is not handled", async (pair) => {
    assert.equal(pair.listener.handles(pair.address), true);
    assert.equal(pair.listener.handles("/carrier-pigeon/7"), false);
    await assert.rejects(pair.listener.listen("/carrier-pigeon/7", () => true, () => {}), { code: "ADDRESS_INVALID" });
  });
}

function frame(body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, 4);
  return bytes;
}

function assertBlamesPeer(error: Error | undefined, code?: string): void {
  assert.ok(error instanceof RuntimeError, String(error));
  assert.equal(error.blame, "peer");
  if (code !== undefined) assert.equal(error.code, code);
}

/** One end of a link, recording what it is told. */
class End {
  readonly link: Link;
  readonly bodies: Buffer[] = [];
  bursts = 0;
  closes = 0;
  onFrame: () => void = () => {};
  readonly closed: Promise<Error | undefined>;
  #resolveClosed!: (error: Error | undefined) => void;

  constructor(link: Link) {
    this.link = link;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  open(): void {
    this.link.open({
      onFrame: (body) => {
        this.bodies.push(Buffer.from(body));
        this.onFrame();
      },
      onBurstEnd: () => void this.bursts++,
      onClose: (error) => {
        this.closes++;
        this.#resolveClosed(error);
      },
    });
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve)); // the test's timeout bounds it
  }
}

async function connected(pair: LinkPair, { open = true } = {}) {
  const accepted: Link[] = [];
  const all: Link[] = [];
  const listening: Listener = await pair.listener.listen(pair.address, () => true, (link) => accepted.push(link));
  const another = async () => {
    const here = new End(await pair.dialler.dial(listening.address, pair.listenPeer, AbortSignal.timeout(5000)));
    while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const there = new End(accepted.shift()!);
    all.push(here.link, there.link);
    if (open) for (const end of [here, there]) end.open();
    return { here, there };
  };
  const first = await another();
  return {
    ...first,
    another,
    listening,
    async [Symbol.asyncDispose]() {
      for (const link of all) link.destroy();
      await listening.close();
    },
  };
}
