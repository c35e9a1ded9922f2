import { sha256Hex } from "../base/sha256.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { ProgramHash } from "../base/ids.ts";
import type { Value } from "../base/value.ts";
import type { Program } from "./program.ts";

/** The name of a program: SHA-256 over its deterministic encoding. Equal content, equal hash, on every machine. */
export function programHash(program: Program): ProgramHash {
  return sha256Hex(encodeValue(program as unknown as Value)) as ProgramHash;
}
