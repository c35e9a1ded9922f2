#!/usr/bin/env node
/**
 * Starts the command. Written so that any Node.js since version 4 can parse it: an old one must be able to say that it
 * is too old.
 */
"use strict";

var MAJOR_MIN = 24;

if (Number(process.versions.node.split(".")[0]) < MAJOR_MIN) {
  console.error("holdfast needs Node.js " + MAJOR_MIN + " or newer; this is " + process.version + ".");
  process.exit(2);
}

var fs = require("fs");
var path = require("path");
var source = path.join(__dirname, "..", "src", "main.ts");
if (fs.existsSync(source)) {
  // A checkout runs from source. Which files `holdfast` and its packages mean is decided by a condition that only Node's
  // command line can set; replacing this process, and not starting a child, leaves signals and exit codes as they are.
  var flags = ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning"];
  // Stripping types at every start would take half of its time and 30 MB of memory in each process of a fleet.
  var cache = process.env.NODE_COMPILE_CACHE || path.join(__dirname, "..", "..", "..", ".cache", "compile");
  var environment = Object.assign({}, process.env, { NODE_COMPILE_CACHE: cache });
  process.execve(process.execPath, [process.execPath].concat(process.execArgv, flags, source, process.argv.slice(2)), environment);
} else {
  require("../dist/main.js");
}
