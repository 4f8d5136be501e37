// An idle Node that waits for its program (hold.c has the descriptors): `node FLAGS /hold.cjs [typescript]`. What a run
// is to see is what `node FLAGS FILE ARGS` shows: the same argv, environment, main module and exit code.
"use strict";
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");

const gate = 3;
const words = 4;

// Loaded while there is time: what a module's first import, and the first types stripped, would wait for.
if (process.argv[2] === "typescript") Module.stripTypeScriptTypes?.("const one: number = 1;");
void import("node:fs").then(() => {
  fs.writeSync(gate, "h");
  fs.readSync(gate, Buffer.alloc(1));
  const given = fs.readFileSync(words, "utf8").split("\0");
  fs.closeSync(gate);
  fs.closeSync(words);
  const count = Number(given[0]);
  const [file, ...args] = given.slice(1, 1 + count);
  for (const name of Object.keys(process.env)) delete process.env[name];
  for (const entry of given.slice(1 + count, -1)) {
    const at = entry.indexOf("=");
    process.env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  process.argv = [process.argv[0], path.resolve(file), ...args];
  delete require.cache[__filename];
  process.mainModule = undefined;
  Module.runMain();
});
