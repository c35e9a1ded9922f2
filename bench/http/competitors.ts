/**
 * What the others are, as far as it is used here. They are installed when the benchmark first runs, from a lockfile of their own, so
 * that nobody else pays for them; their types may therefore be missing, and what is called of them is declared here.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

const HERE = import.meta.dirname;

/** Installs what is missing or of another version. Runs no scripts of theirs. */
export function installCompetitors(note: (text: string) => void): void {
  if (Object.entries(competitorVersions()).every(([name, version]) => readManifest(join(HERE, "node_modules", name))?.version === version)) return;
  note("installing what is compared with");
  // With this Node.js, whichever one npm itself would find.
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter) };
  const { status, error } = spawnSync("npm", ["ci", "--prefix", HERE, "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], { env, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error("the libraries that are compared with could not be installed", { cause: error });
}

/** By name, as pinned. */
export function competitorVersions(): Readonly<Record<string, string>> {
  return (readManifest(HERE) as Manifest).dependencies ?? {};
}

interface Manifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readManifest(folder: string): Manifest | undefined {
  const file = join(folder, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Manifest) : undefined;
}

type Async<T> = () => Promise<T>;
type Signalled<T> = (context: { readonly signal: AbortSignal }) => Promise<T>;

export interface CockatielPolicy {
  execute<T>(work: Signalled<T>): Promise<T>;
}

export interface Cockatiel {
  readonly handleAll: unknown;
  readonly TimeoutStrategy: { readonly Aggressive: string };
  retry(policy: unknown, options: { readonly maxAttempts: number; readonly backoff: object }): CockatielPolicy;
  circuitBreaker(policy: unknown, options: { readonly halfOpenAfter: number; readonly breaker: object }): CockatielPolicy;
  timeout(durationMs: number, strategy: string): CockatielPolicy;
  wrap(...policies: readonly CockatielPolicy[]): CockatielPolicy;
  readonly ConsecutiveBreaker: new (failures: number) => object;
  readonly SamplingBreaker: new (options: { readonly threshold: number; readonly duration: number }) => object;
  readonly ExponentialBackoff: new () => object;
}

export interface OpossumOptions {
  readonly timeout?: number | false;
  readonly errorThresholdPercentage?: number;
  readonly resetTimeout?: number;
  readonly enableSnapshots?: boolean;
}

export interface OpossumBreaker {
  fire(...args: readonly unknown[]): Promise<unknown>;
}

/** It keeps what it is given, and changes it: each breaker is given options of its own. */
export type Opossum = new (action: (...args: never[]) => Promise<unknown>, options: OpossumOptions) => OpossumBreaker;

export type PRetry = <T>(work: Async<T>, options?: { readonly retries: number }) => Promise<T>;
export type PTimeout = <T>(promise: Promise<T>, options: { readonly milliseconds: number }) => Promise<T>;

/** A description of work, of which only Effect knows what is in it. */
export type Described = { readonly described: unique symbol };

export interface EffectLibrary {
  tryPromise<T>(work: (signal: AbortSignal) => Promise<T>): Described;
  retry(work: Described, options: { readonly times: number; readonly schedule: object }): Described;
  timeout(work: Described, duration: string): Described;
  runPromise<T>(work: Described): Promise<T>;
}

export interface EffectBreaker {
  execute(work: Described, options: { readonly key: string }): Described;
}

export interface EffectModules {
  readonly Effect: EffectLibrary;
  readonly Schedule: { exponential(base: string): object };
  readonly Layer: { provide(layer: object, from: object): object };
  readonly ManagedRuntime: { make(layer: object): { runPromise(service: object): Promise<EffectBreaker>; dispose(): Promise<void> } };
}

interface EffectPersistence {
  readonly CircuitBreaker: {
    readonly CircuitBreaker: object;
    layer(options: { readonly tripPolicy: object; readonly openDuration: string }): object;
    layerStoreMemory(): object;
    consecutive(failures: number): object;
  };
}

export interface UndiciAgent {
  compose(interceptor: unknown): UndiciAgent;
  close(): Promise<void>;
}

export interface UndiciResponse {
  readonly statusCode: number;
  readonly body: { text(): Promise<string>; dump(): Promise<void> };
}

export interface Undici {
  readonly Agent: new (options?: { readonly connections?: number }) => UndiciAgent;
  readonly interceptors: { retry(): unknown };
  request(url: string, options: { readonly dispatcher: UndiciAgent; readonly signal?: AbortSignal | undefined }): Promise<UndiciResponse>;
}

export type Got = (url: string) => Promise<{ readonly body: string; readonly statusCode: number }>;
export type Ky = (url: string) => Promise<Response>;

const load = <T>(name: string): Promise<T> => import(name) as Promise<T>;

export const loadCockatiel = (): Promise<Cockatiel> => load("cockatiel");
export const loadOpossum = async (): Promise<Opossum> => (await load<{ default: Opossum }>("opossum")).default;
export const loadPRetry = async (): Promise<PRetry> => (await load<{ default: PRetry }>("p-retry")).default;
export const loadPTimeout = async (): Promise<PTimeout> => (await load<{ default: PTimeout }>("p-timeout")).default;
export const loadUndici = (): Promise<Undici> => load("undici");
export const loadEffect = (): Promise<EffectModules> => load("effect");
export const loadGot = async (): Promise<Got> => (await load<{ default: Got }>("got")).default;
export const loadKy = async (): Promise<Ky> => (await load<{ default: Ky }>("ky")).default;

/** One keyed breaker, with its state in memory. */
export async function openEffectBreaker(openDuration: string, failures = 5): Promise<EffectBreaker> {
  const [{ Layer, ManagedRuntime }, { CircuitBreaker }] = await Promise.all([loadEffect(), load<EffectPersistence>("effect/persistence")]);
  const policy = CircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(failures), openDuration });
  return ManagedRuntime.make(Layer.provide(policy, CircuitBreaker.layerStoreMemory())).runPromise(CircuitBreaker.CircuitBreaker);
}
