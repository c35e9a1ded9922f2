import { type DialFault, type LinkId, type PeerId, RuntimeError } from "@holdfast/core";
import type { Admit, AdmitAddress, Link, Listener, Transport } from "./links/link.ts";
import type { NodeLoop } from "./node-loop.ts";

/** Bytes that wait for one peer to read them: all that the engine keeps for it, twice. */
const LINK_BUFFER_MAX = 512 * 1024 * 1024;

/** How long one address may take to answer, in ms. */
const DIAL_MS_MAX = 5000;

/** Who may have a link: an address before anybody is heard, and a peer at its address. */
export interface LinkPolicy {
  readonly address: AdmitAddress;
  readonly peer: Admit;
}

/** What our own machine says when it cannot: descriptors, memory, interfaces, routes, its own firewall. */
const LOCAL_CODES: ReadonlySet<string> = new Set([
  "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ENETUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EPERM", "EAI_AGAIN",
]);
const SILENT_CODES: ReadonlySet<string> = new Set(["ETIMEDOUT", "EHOSTUNREACH", "EHOSTDOWN"]);

function faultOf({ code }: NodeJS.ErrnoException, isAborted: boolean): DialFault {
  if (code !== undefined && LOCAL_CODES.has(code)) return "local";
  return isAborted || (code !== undefined && SILENT_CODES.has(code)) ? "silent" : "refused";
}

/** Of several addresses the one that says most about the peer counts. */
function worse(a: DialFault, b: DialFault): DialFault {
  const order: readonly DialFault[] = ["local", "silent", "refused"];
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}

/** The node's links by the numbers that the engine knows them by. */
export class LinkTable {
  readonly #transports: readonly Transport[];
  readonly #loop: NodeLoop;
  readonly #policy: LinkPolicy;
  readonly #links = new Map<LinkId, Link>();
  readonly #listeners: Listener[] = [];
  readonly #dialling = new Set<AbortController>();
  #nextId = 1;

  constructor(transports: readonly Transport[], loop: NodeLoop, policy: LinkPolicy) {
    this.#transports = transports;
    this.#loop = loop;
    this.#policy = policy;
  }

  /** Returns the actual address. Throws ADDRESS_IN_USE, ADDRESS_INVALID. */
  async listen(address: string): Promise<string> {
    const listener = await this.#transportFor(address).listen(address, this.#policy.peer, (link) => this.#adopt(link), this.#policy.address);
    this.#listeners.push(listener);
    return listener.address;
  }

  /** Tries the addresses in order; the engine learns of the first link or of the last error. */
  async dial(peer: PeerId, addresses: readonly string[]): Promise<void> {
    let reason = "no address";
    let fault: DialFault = "local";
    for (const address of addresses) {
      if (!this.#policy.peer(peer, address)) continue; // decided since the engine asked
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(new Error(`no answer within ${DIAL_MS_MAX} ms`)), DIAL_MS_MAX);
      this.#dialling.add(abort);
      try {
        return this.#adopt(await this.#transportFor(address).dial(address, peer, abort.signal, (remote) => this.#policy.peer(peer, remote)));
      } catch (error) {
        reason = `${address}: ${(error as Error).message}`;
        fault = worse(fault, faultOf(error as NodeJS.ErrnoException, abort.signal.aborted));
      } finally {
        clearTimeout(timer);
        this.#dialling.delete(abort);
      }
    }
    this.#loop.handle({ kind: "dial-failed", peer, reason, fault: reason === "no address" ? "refused" : fault });
  }

  send(id: LinkId, frame: Uint8Array): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.send(frame);
    // A peer that reads nothing: TCP holds us back, and what the engine keeps sending must not pile up here.
    if (link.buffered > LINK_BUFFER_MAX) link.destroy();
  }

  close(id: LinkId): void {
    this.#links.get(id)?.close();
  }

  /** Stops listening and dialling; links flush what was sent. */
  async closeAll(): Promise<void> {
    for (const abort of this.#dialling) abort.abort(new Error("the node stops"));
    for (const link of this.#links.values()) link.close();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  destroyAll(): void {
    for (const link of this.#links.values()) link.destroy();
  }

  #adopt(link: Link): void {
    const id = this.#nextId++;
    this.#links.set(id, link);
    this.#loop.take({ kind: "link-opened", link: id, peer: link.peer, dialled: link.dialled, remote: link.remote });
    link.open({
      onFrame: (body) => this.#loop.take({ kind: "frame-received", link: id, body }),
      onBurstEnd: () => this.#loop.pump(),
      onClose: (error) => {
        this.#links.delete(id);
        const blamesPeer = error instanceof RuntimeError && error.blame === "peer";
        this.#loop.handle({ kind: "link-closed", link: id, reason: error?.message ?? "closed", blamesPeer });
      },
    });
    this.#loop.pump();
  }

  #transportFor(address: string): Transport {
    const transport = this.#transports.find((one) => one.handles(address));
    if (transport === undefined) throw new RuntimeError("ADDRESS_INVALID", { address });
    return transport;
  }
}
