import { userInfo } from "node:os";

/** Where things of ours are, and no more: a value of these means the same whoever starts the process. */
const KEPT = [
  "HOLDFAST_RUNTIME_DIR", "HOLDFAST_SERVICES", "HOLDFAST_ALLOW_ROOT", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "TMPDIR", "NODE_COMPILE_CACHE",
] as const;

/**
 * The environment that brokers and backends begin with: made, and not inherited from whichever client happened to be the
 * first. What else a service needs stands in its definition.
 */
export function basicEnvironment(): Record<string, string> {
  const { username, homedir } = user();
  const kept = KEPT.flatMap((name): [string, string][] => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: homedir, USER: username, LOGNAME: username, LANG: "C.UTF-8", ...Object.fromEntries(kept) };
}

/** In a container a user may have no more than a number. */
function user(): { readonly username: string; readonly homedir: string } {
  try {
    return userInfo();
  } catch {
    return { username: String(process.getuid?.()), homedir: process.env["HOME"] || "/" };
  }
}
