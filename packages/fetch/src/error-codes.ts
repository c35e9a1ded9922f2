import type { OutcomeKind } from "./outcome.ts";

/** Codes of Node.js and of undici, which is behind its fetch. */
const KINDS: Readonly<Record<string, OutcomeKind>> = {
  ECONNREFUSED: "refused", EHOSTUNREACH: "refused", EHOSTDOWN: "refused",
  ECONNRESET: "reset", EPIPE: "reset", ECONNABORTED: "reset", UND_ERR_SOCKET: "reset",
  ENOTFOUND: "dns", EAI_NODATA: "dns", EAI_NONAME: "dns",
  ETIMEDOUT: "timed-out", ESOCKETTIMEDOUT: "timed-out", UND_ERR_CONNECT_TIMEOUT: "timed-out", UND_ERR_HEADERS_TIMEOUT: "timed-out", UND_ERR_BODY_TIMEOUT: "timed-out",
  EMFILE: "local", ENFILE: "local", ENOBUFS: "local", ENOMEM: "local", EADDRNOTAVAIL: "local", ENETUNREACH: "local", ENETDOWN: "local",
  // A client that was closed, and requests that cannot be made.
  UND_ERR_DESTROYED: "local", UND_ERR_CLOSED: "local", UND_ERR_INVALID_ARG: "local", UND_ERR_NOT_SUPPORTED: "local",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "local", UND_ERR_INVALID_RETURN_VALUE: "local",
  // Bun's.
  ConnectionRefused: "refused", ConnectionClosed: "reset",
  EAI_AGAIN: "local", EAI_MEMORY: "local", EAI_SYSTEM: "local", EACCES: "local", EPERM: "local",
};

const CAUSES_MAX = 8;

/** The kind of what a call threw, by the code of the error or of what caused it; `failed` if none is known. Browsers give no codes. */
export function kindOfError(error: unknown): OutcomeKind {
  for (let at = error, depth = 0; typeof at === "object" && at !== null && depth < CAUSES_MAX; depth++) {
    const { code, errors, cause } = at as { code?: unknown; errors?: unknown; cause?: unknown };
    if (typeof code === "string") {
      if (Object.hasOwn(KINDS, code)) return KINDS[code] as OutcomeKind;
      if (/^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|EPROTO$)/.test(code)) return "tls";
      if (code.startsWith("HPE_")) return "failed";
    }
    // Several addresses were tried.
    at = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
  return "failed";
}
