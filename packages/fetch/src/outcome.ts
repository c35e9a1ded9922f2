import type { Evidence } from "@holdfast/core/peer";

/** What one attempt came to. */
export type OutcomeKind =
  /** The peer did what it should; also a refusal of what was asked, such as 404. */
  | "works"
  /** Nobody listens, or the address answers nobody. */
  | "refused"
  /** The connection ended before there was an answer. */
  | "reset"
  /** The name has no address. */
  | "dns"
  /** No trusted connection could be made. */
  | "tls"
  | "timed-out"
  /** 429 or 503: the peer has too much to do, and says so. */
  | "overload"
  /** Any other 5xx. */
  | "server-error"
  /** The answer began, and did not end. */
  | "body-broken"
  /** Another failure of the peer. */
  | "failed"
  /** Our own machine: descriptors, memory, routes, resolver. */
  | "local"
  /** We did not want it any more. */
  | "cancelled";

/** How one attempt is judged. */
export interface Outcome {
  readonly kind: OutcomeKind;
  /** Might another attempt do better? Default: yes, except for `works`, `local` and `cancelled`. */
  readonly retry?: boolean;
  /** What the peer said about coming back, in ms; `never` is about this operation only, and no attempt follows. */
  readonly retryAfterMs?: number | "never" | undefined;
  /** False: `works`, but of the answer only the beginning has arrived, and the rest broke off last time. Default true. */
  readonly isProof?: boolean;
  /** The status of an answer, for those who watch. */
  readonly status?: number;
}

/** What each says about the peer. A connection that was reset is the peer's fault: a success in between ends the streak. */
const EVIDENCE: Readonly<Record<OutcomeKind, Evidence>> = {
  "works": "works", "refused": "remote-fault", "reset": "remote-fault", "dns": "remote-fault", "tls": "remote-fault",
  "timed-out": "remote-fault", "overload": "overload", "server-error": "remote-fault", "body-broken": "remote-fault", "failed": "remote-fault",
  "local": "local-fault", "cancelled": "cancelled",
};

export const OUTCOME_KINDS = Object.keys(EVIDENCE) as readonly OutcomeKind[];

export function evidenceOfKind(kind: OutcomeKind): Evidence {
  return EVIDENCE[kind];
}

const ANSWERS: ReadonlySet<OutcomeKind> = new Set(["works", "overload", "server-error", "body-broken"]);

/** Did anything of the peer arrive? */
export function isAnswer(kind: OutcomeKind): boolean {
  return ANSWERS.has(kind);
}

export function isWorthAnother({ kind, retry, retryAfterMs }: Outcome): boolean {
  if (retryAfterMs === "never") return false;
  return retry ?? (kind !== "works" && kind !== "local" && kind !== "cancelled");
}

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

/** The kind of what a call threw, by the code of the error or of what caused it; `failed` if none is known. */
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
