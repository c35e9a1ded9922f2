/**
 * Mutual TLS 1.3 between self-signed Ed25519 certificates, over TCP and Unix sockets alike. TLS proves that the other
 * side holds the key of the certificate that it shows; there is no authority to ask, so we check the certificate itself
 * and take the peer's id from its key.
 */
import type { Socket, TcpNetConnectOpts, IpcNetConnectOpts } from "node:net";
import { connect, createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { type PeerId, RuntimeError } from "@holdfast/core";
import { peerOfCertificate } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";

/** Connecting and authenticating together. Far beyond any real round trip. */
export const HANDSHAKE_MS_MAX = 10_000;

export interface Authenticated {
  readonly socket: TLSSocket;
  readonly peer: PeerId;
}

export function secureContext({ keyPem, certificatePem }: Identity): SecureContext {
  return createSecureContext({ key: keyPem, cert: certificatePem, minVersion: "TLSv1.3" });
}

/** Every way to fail destroys the socket: CERTIFICATE_INVALID, also for another peer than `expected`. */
export function dialTls(
  target: TcpNetConnectOpts | IpcNetConnectOpts, context: SecureContext, expected: PeerId, signal: AbortSignal,
): Promise<Authenticated> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  // Our own check (`authenticate`) takes the place of the chain and host name checks, which need an authority.
  const socket = connect({ ...target, secureContext: context, rejectUnauthorized: false });
  return authenticate(socket, "secureConnect", expected, signal);
}

export function acceptTls(raw: Socket, context: SecureContext): Promise<Authenticated> {
  const socket = new TLSSocket(raw, { isServer: true, secureContext: context, requestCert: true, rejectUnauthorized: false });
  return authenticate(socket, "secure");
}

function authenticate(socket: TLSSocket, event: string, expected?: PeerId, signal?: AbortSignal): Promise<Authenticated> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | undefined, done: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", handleAbort);
      socket.off("error", fail).off("close", handleClose).off(event, handleSecure);
      // A destroyed socket may still report an error, which nobody waits for any more.
      if (error !== undefined) socket.on("error", () => {}).destroy();
      done();
    };
    const fail = (error: Error) => settle(error, () => reject(error));
    const handleAbort = () => fail(signal!.reason as Error);
    const handleClose = () => fail(new Error("the connection closed during the handshake"));
    const handleSecure = () => {
      try {
        const peer = peerOfCertificate(socket.getPeerX509Certificate());
        if (expected !== undefined && peer !== expected) throw new RuntimeError("CERTIFICATE_INVALID", { expected, found: peer });
        settle(undefined, () => resolve({ socket, peer }));
      } catch (error) {
        fail(error as Error);
      }
    };
    const timer = setTimeout(() => fail(new Error(`no handshake within ${HANDSHAKE_MS_MAX} ms`)), HANDSHAKE_MS_MAX);
    signal?.addEventListener("abort", handleAbort);
    socket.on("error", fail).on("close", handleClose).on(event, handleSecure);
  });
}
