import { InterceptingCall, status as Status } from "@grpc/grpc-js";
import type { ChannelOptions, Interceptor, InterceptorOptions, NextCall } from "@grpc/grpc-js";
import { aDuration, aFunction, aText, checkOptions, either, oneOf, withDefaults } from "../option-check.ts";
import type { Rules } from "../option-check.ts";
import type { Peers } from "../peers.ts";
import { hostOf } from "../peers-host.ts";
import { LIMIT_RULES, RUN_DEFAULTS } from "../run-options.ts";
import type { CallLimits, CheckedRunOptions } from "../run-options.ts";
import { streamCall } from "./stream-call.ts";
import { UnaryCall } from "./unary-call.ts";
import type { InnerCall } from "./unary-call.ts";

export type { CausedStatus } from "./status.ts";

/** Of calls of one request and one answer; the caller's own deadline is the bound of all of it. */
type GrpcLimits = Pick<CallLimits, "attempts" | "attemptMs" | "deadline" | "backoffBaseMs" | "backoffMaxMs" | "whenHeld">;

export interface GrpcOptions extends GrpcLimits {
  /** Who is asked: a key, or what makes one of the channel's target. Default: the target, without `dns:`. */
  readonly peer?: string | ((target: string) => string);
  /** Which methods may be asked more than once, by path (`/package.Service/Method`). Default: none. */
  readonly retryable?: (path: string) => boolean;
  /** How long a stream of answers to one request may take until its first message: ms, or what is learned. Default: no bound. */
  readonly firstMessageMs?: number | "learned";
}

/**
 * What a channel should be told, so that failures are handled in one place: no retries of its own (`retryPolicy` and
 * `hedgingPolicy` of a `grpc.service_config` are without effect then), and a reconnection about every 10 s at most, before
 * which every call fails unsent, a probe of ours, too.
 */
export const CHANNEL_OPTIONS = Object.freeze({
  "grpc.enable_retries": 0, "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 10_000,
}) satisfies ChannelOptions;

const { attempts, attemptMs, deadline, backoffBaseMs, backoffMaxMs, whenHeld } = LIMIT_RULES;
const RULES: Rules<Required<GrpcOptions>> = {
  attempts, attemptMs, deadline, backoffBaseMs, backoffMaxMs, whenHeld,
  peer: either(aText, aFunction), retryable: aFunction, firstMessageMs: either(aDuration, oneOf("learned")),
};
const ATTEMPTS = 3;

/**
 * An interceptor for clients of `@grpc/grpc-js`: `new Client(address, credentials, { ...CHANNEL_OPTIONS, interceptors: [it] })`.
 * Where the peer is not to be asked, a call ends with UNAVAILABLE, where it does not answer in time with DEADLINE_EXCEEDED;
 * `cause` of the error is the `PeerError`. Throws OPTION_INVALID.
 */
export function peersInterceptor(peers: Peers, given: GrpcOptions = {}): Interceptor {
  checkOptions("grpc", given as Required<GrpcOptions>, RULES);
  const host = hostOf(peers);
  const { peer, retryable, firstMessageMs, ...limits } = given;
  const once = withDefaults(RUN_DEFAULTS, { ...limits, attempts: 1 } as CheckedRunOptions<unknown>);
  const repeated = withDefaults({ ...RUN_DEFAULTS, attempts: ATTEMPTS }, limits as CheckedRunOptions<unknown>);
  const keyOf = (target: string): string => (typeof peer === "function" ? peer(target) : target);

  return (options, nextCall) => {
    const { path, requestStream, responseStream } = options.method_definition;
    if (requestStream || responseStream) {
      const inner = nextCall(options);
      const key = typeof peer === "string" ? peer : keyOf(targetOf(inner));
      return streamCall(host, key, inner, { site: path, isAnswerStream: responseStream, firstMessageMs: requestStream ? undefined : firstMessageMs });
    }
    const key = typeof peer === "string" ? peer : keyOf(unsentTarget(options, nextCall));
    return new InterceptingCall(new UnaryCall(host, key, options, nextCall, retryable?.(path) === true ? repeated : once));
  };
}

/** Methods that their service declares to be idempotent: `idempotency_level`, as `@grpc/proto-loader` reads it. */
export function idempotentMethods(...services: readonly object[]): (path: string) => boolean {
  const methods = services.flatMap((service) => Object.values(service) as { path?: string; options?: { idempotency_level?: unknown } }[]);
  const paths = methods.filter(({ options }) => options?.idempotency_level === "NO_SIDE_EFFECTS" || options?.idempotency_level === "IDEMPOTENT");
  const known = new Set(paths.map(({ path }) => path));
  return (path) => known.has(path);
}

/** An interceptor is not told the target; a call that was not started yet knows nothing else. */
function targetOf(call: InnerCall): string {
  return call.getPeer().replace(/^dns:(?:\/\/\/)?/, "");
}

/** The deadline of a call goes by its peer, and must be there when it is made: so one is made to ask, and given up. */
function unsentTarget({ method_definition }: InterceptorOptions, nextCall: NextCall): string {
  const call = nextCall({ method_definition });
  const target = targetOf(call);
  call.cancelWithStatus(Status.CANCELLED, "it was not to be sent");
  return target;
}
