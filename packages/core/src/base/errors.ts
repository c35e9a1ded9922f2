/**
 * Every failure that can happen without a bug in Holdfast, in one table: who must act, and what they can do.
 * Codes are stable; code branches on `code`, people read `hint`, logs keep `details`.
 */
interface ErrorSpec {
  /** Who must act: the remote peer, our caller, or the machine we run on. */
  readonly blame: "peer" | "caller" | "machine";
  readonly hint: string;
}

export const ERRORS = {
  OPTION_INVALID: { blame: "caller", hint: "An option is missing, unknown or out of its range." },
  PEER_ID_INVALID: { blame: "caller", hint: "A peer id is the base58btc text of a multihash." },
  PEER_UNKNOWN: { blame: "caller", hint: "No one peer is meant: give a name, an id, or the beginning of one alone." },
  VALUE_INVALID: { blame: "caller", hint: "A value is JSON, bigint or Uint8Array; nothing else can be stored or sent." },
  INPUT_INVALID: { blame: "caller", hint: "The input does not fit; the details say where." },
  VALUE_TOO_LARGE: { blame: "caller", hint: "The encoded value exceeds its limit (docs/LIMITS.md)." },
  VALUE_MALFORMED: { blame: "peer", hint: "The bytes are not the deterministic CBOR of a value." },
  FRAME_MALFORMED: { blame: "peer", hint: "The bytes are not a frame of this protocol version." },
  FRAME_TOO_LARGE: { blame: "peer", hint: "The frame exceeds its limit (docs/LIMITS.md)." },
  ENVELOPE_MALFORMED: { blame: "peer", hint: "The frame's body is not a well-formed message." },
  VERSION_UNSUPPORTED: { blame: "peer", hint: "The peer speaks another version of the protocol." },
  FLOW_INVALID: { blame: "caller", hint: "The flow does not compile; the details name the operation." },
  DEFINITION_MISSING: { blame: "caller", hint: "A program in flight needs a function or schema that is no longer registered." },
  SNAPSHOT_INVALID: { blame: "machine", hint: "A part of the stored state is missing, unknown or damaged; the details name it." },
  STORE_DAMAGED: { blame: "machine", hint: "The store is damaged. Restore a snapshot, or give up the history: holdfast restore NODE --new-lineage." },
  STORE_BUSY: { blame: "machine", hint: "Another process owns this data directory." },
  STORE_FAILED: { blame: "machine", hint: "The store could not make a commit durable; the process must end and start again." },
  STORE_FENCED: { blame: "machine", hint: "Another process took this store over." },
  STORE_FOREIGN: { blame: "caller", hint: "The data directory belongs to another node." },
  ADDRESS_INVALID: { blame: "caller", hint: "An address is a multiaddr such as /ip4/127.0.0.1/tcp/4001 or /unix/PATH." },
  ADDRESS_IN_USE: { blame: "caller", hint: "Something else listens on this address." },
  IDENTITY_INVALID: { blame: "machine", hint: "The node's key file is missing, unreadable or not an Ed25519 key." },
  CERTIFICATE_INVALID: { blame: "peer", hint: "The peer's certificate does not carry an Ed25519 key of its own signature." },
  FLEET_INVALID: { blame: "caller", hint: "The fleet file does not describe a fleet; the details say where." },
  FLEET_BUSY: { blame: "caller", hint: "Another holdfast up runs this fleet." },
  NODE_UNREACHABLE: { blame: "caller", hint: "No running node answers." },
  CONTROL_MALFORMED: { blame: "caller", hint: "This is no request of the control protocol." },
  NODE_REFUSED: { blame: "caller", hint: "A node of the fleet refuses to start; starting it again would not help." },
  SERVICE_INVALID: { blame: "caller", hint: "The service's definition is not valid; the details say where." },
  BROKER_UNREACHABLE: { blame: "machine", hint: "No broker answers, or none may be started." },
  BROKER_REFUSED: { blame: "caller", hint: "The broker does not run here; the details say why." },
  BACKEND_LOST: { blame: "machine", hint: "The backend ended before it answered; whether it began the request cannot be known." },
  ENDPOINT_BUSY: { blame: "caller", hint: "Another process serves this service, version and build." },
  NOT_RUNNING: { blame: "caller", hint: "The node is not running." },
  NOT_FOUND: { blame: "caller", hint: "Nothing of that name or id is known here." },
  CONFLICT: { blame: "caller", hint: "The id is taken by a start of another flow or another input." },
  FULL: { blame: "caller", hint: "A table is at its bound (docs/LIMITS.md); try again when work has finished." },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

/** An expected failure with a stable code. */
export class RuntimeError extends Error {
  override readonly name = "RuntimeError";
  readonly code: ErrorCode;
  readonly blame: ErrorSpec["blame"];
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, details: Readonly<Record<string, unknown>> = {}, options: { cause?: unknown } = {}) {
    const text = Object.entries(details).map(([key, value]) => `${key}: ${String(value)}`).join(", ");
    super(`${code}: ${ERRORS[code].hint}${text === "" ? "" : ` (${text})`}`, options);
    this.code = code;
    this.blame = ERRORS[code].blame;
    this.details = details;
  }
}
