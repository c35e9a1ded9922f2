import { BugError, RuntimeError, type ErrorCode } from "@holdfast/core";

/** SQLite's primary result codes (https://sqlite.org/rescode.html): the low byte of `errcode`. */
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

interface SqliteError extends Error {
  readonly errcode: number;
  readonly errstr: string;
}

function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && "errcode" in error;
}

export function isBusy(error: unknown): boolean {
  return isSqliteError(error) && (error.errcode & 0xff) === SQLITE_BUSY;
}

/** Names what SQLite or the file system reported. `code` overrides the choice where a failure is final whatever it was. */
export function storeError(error: unknown, path: string, code?: ErrorCode): RuntimeError | BugError {
  if (error instanceof RuntimeError || error instanceof BugError) return error;
  if (!isSqliteError(error)) {
    const { code: errno, message } = error as NodeJS.ErrnoException;
    return new RuntimeError(code ?? "STORE_FAILED", { path, errno, reason: message }, { cause: error });
  }
  const details = { path, errno: error.errcode, reason: `${error.errstr}: ${error.message}` };
  return new RuntimeError(code ?? codeOf(error.errcode & 0xff), details, { cause: error });
}

function codeOf(result: number): ErrorCode {
  if (result === SQLITE_BUSY) return "STORE_BUSY";
  return result === SQLITE_CORRUPT || result === SQLITE_NOTADB ? "STORE_DAMAGED" : "STORE_FAILED";
}
