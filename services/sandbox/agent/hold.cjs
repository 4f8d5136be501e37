// What makes a Node wait for its program (hold.c has the descriptors). It is preloaded by a Node that is started in a
// waiting jail as the program will be, `node FLAGS main.js`, and returns once there is a program: Node then runs that
// as it always does. A script that ran the program instead would be seen in every stack trace, and what the program
// throws would be a rejection of that script's. It waits in `/` and not where the program runs, since looking for this
// file Node remembers that the directory has no package.json.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const gate = 3;
const words = 4;
const directory = "/work";
const Module = module.constructor;

// Workers, and what node:test starts, preload what their process did; only the one that waits has this variable.
if (process.env.NODE_OPTIONS === `--require=${__filename}`) hold();
forget();

function hold() {
  // Loaded while there is time: what the first types stripped would wait for.
  if (process.argv[1].endsWith(".ts")) {
    require("node:module").stripTypeScriptTypes?.("const one: number = 1;");
  }
  fs.writeSync(gate, "h");
  fs.readSync(gate, Buffer.alloc(1));
  const given = fs.readFileSync(words, "utf8").split("\0");
  fs.closeSync(gate);
  fs.closeSync(words);
  const count = Number(given[0]);
  const [file, ...args] = given.slice(1, 1 + count);
  takeEnvironment(given.slice(1 + count, -1));
  process.chdir(directory);
  const actual = path.resolve(file);
  const [expected] = process.argv.splice(1, Infinity, actual, ...args);
  redirect(expected, actual);
}

function takeEnvironment(entries) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  for (const entry of entries) {
    const at = entry.indexOf("=");
    process.env[entry.slice(0, at)] = entry.slice(at + 1);
  }
}

// Node has its main file's name already, and looks for it twice: as the entry point, and as a CommonJS module.
function redirect(expected, actual) {
  for (const name of ["_findPath", "_resolveFilename"]) {
    const original = Module[name];
    Module[name] = (request, ...rest) => {
      if (request !== expected) return original(request, ...rest);
      Module[name] = original;
      return original(actual, ...rest);
    };
  }
}

function forget() {
  delete require.cache[__filename];
  for (const known of Object.keys(Module._pathCache)) {
    if (known.startsWith(__filename)) delete Module._pathCache[known];
  }
  if (process._preload_modules) process._preload_modules.length = 0;
}
