import { OptionError } from "../errors.ts";
import { JsonFile } from "./json-file.ts";
import { SqliteFile } from "./sqlite-file.ts";
import type { StateStore } from "./state-store.ts";

/** `*.json` is a plain file, any other path a SQLite database. Throws OPTION_INVALID where the platform has no files. */
export function openState(state: string | StateStore): StateStore {
  if (typeof state !== "string") return state;
  const { getBuiltinModule } = globalThis.process ?? {};
  const fs = getBuiltinModule?.("node:fs");
  if (fs === undefined) throw new OptionError("openPeers.state", "this platform has no files: give a store");
  if (state.endsWith(".json")) return new JsonFile(state, fs);
  const sqlite = getBuiltinModule?.("node:sqlite");
  if (sqlite === undefined) throw new OptionError("openPeers.state", "this platform has no SQLite: give a path that ends in .json");
  return new SqliteFile(state, fs, sqlite);
}
