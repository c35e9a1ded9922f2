/** Preloaded with --import: stores sync as HOLDFAST_SYNCHRONOUS says, whatever they were told to. */
import { DatabaseSync } from "node:sqlite";

const { prepare } = DatabaseSync.prototype;
DatabaseSync.prototype.prepare = function (sql) {
  if (sql === "BEGIN IMMEDIATE") this.exec(`PRAGMA synchronous = ${process.env["HOLDFAST_SYNCHRONOUS"]}`);
  return prepare.call(this, sql);
};
