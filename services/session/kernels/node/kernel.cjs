// Keeps a Node's state between cells: told what to run on descriptor 4, it says what came of it on descriptor 3, a JSON
// object in each line. Cells are evaluated as the console of a debugger does: `await` and declaring a name anew work
// there, and what they declare is seen by later ones.
const fs = require("node:fs");
const inspector = require("node:inspector");
const { createRequire, stripTypeScriptTypes } = require("node:module");
const net = require("node:net");
const path = require("node:path");
const { Readable } = require("node:stream");
const { pathToFileURL } = require("node:url");
const util = require("node:util");
const { promiseHooks } = require("node:v8");
const vm = require("node:vm");

const commandsFd = 4;
const wordsFd = 3;
const resultsMax = 500;
const textMax = 1024 ** 2;
// The promises of cells that go on: the debugger would say that one was collected while JavaScript must not run, which
// ends the process.
const pending = new Set();
const debuggerSession = new inspector.Session();
debuggerSession.connect();

let cell; // what runs now
let interruptCell; // ends the wait for it
let count = 0;
let wordMax = 16 * 1024 ** 2;
let answered; // takes the answer to what was asked
let displays = 0;
/** What `display` has answered: whoever does not keep one has seen enough. */
const handles = new WeakSet();
const write = fs.writeSync;
const realExit = process.exit.bind(process);

// ---- words ----

function say(word) {
  const line = Buffer.from(`${JSON.stringify(word)}\n`);
  if (line.length > wordMax) return sayLess(word, line.length);
  for (let at = 0; at < line.length;) at += write(wordsFd, line, at);
}

function sayLess(word, bytes) {
  const text = `(${bytes} bytes are more than can be shown)`;
  if (word.say === "error") say({ ...word, message: text, traceback: [] });
  else if (word.say === "reply") say({ say: "reply", to: word.to });
  else say({ ...word, forms: { "text/plain": text }, metadata: {} });
}

function ask(prompt, password) {
  if (cell === undefined || !cell.input) return Promise.resolve(undefined);
  say({ say: "input", prompt: String(prompt), password });
  return new Promise((resolve) => (answered = resolve));
}

// ---- what is shown ----

const shownBy = Symbol.for("Jupyter.display");

function plain(value) {
  const text = util.inspect(value, { depth: 4, maxArrayLength: 200, maxStringLength: textMax });
  return text.length > textMax
    ? `${text.slice(0, textMax)} (and ${text.length - textMax} more)`
    : text;
}

function packed(data) {
  if (data instanceof Uint8Array) return { base64: Buffer.from(data).toString("base64") };
  return typeof data === "string" ? data : JSON.stringify(data);
}

function isForms(value) {
  if (typeof value !== "object" || value === null) return false;
  const keys = Object.keys(value);
  return (
    keys.length > 0 &&
    keys.every((key) => /^(?:text|image|application|audio|video)\/[\w.+-]+$/.test(key))
  );
}

const binary = /^(?:image\/(?!svg)|audio\/|video\/|application\/pdf)/;

async function formsOf(value) {
  const own = typeof value === "object" && value !== null ? value[shownBy] : undefined;
  const bundle = typeof own === "function" ? await own.call(value) : undefined;
  const given = isForms(bundle) ? bundle : {};
  const entries = Object.entries(given).map(([mime, data]) => [mime, formOf(mime, data)]);
  return { "text/plain": plain(value), ...Object.fromEntries(entries) };
}

function formOf(mime, data) {
  return binary.test(mime) && typeof data === "string" ? { base64: data } : packed(data);
}

/** Shows a value, or forms by media type; answers what shows something else in its place. */
function display(
  value,
  { id = `display-${(displays += 1)}`, update = false, metadata = {}, raw = false } = {},
) {
  const word = { say: update ? "update" : "result", displayId: id, metadata };
  if (raw || isForms(value)) {
    const entries = Object.entries(value).map(([mime, data]) => [mime, formOf(mime, data)]);
    say({ ...word, forms: Object.fromEntries(entries) });
  } else if (typeof value?.[shownBy] === "function") {
    void formsOf(value).then((forms) => say({ ...word, forms }), report);
  } else {
    say({ ...word, forms: { "text/plain": plain(value) } });
  }
  const handle = {
    id,
    update: (next, options) => void display(next, { ...options, id, update: true }),
  };
  handles.add(handle);
  return handle;
}

// ---- cells ----

function post(method, parameters) {
  return new Promise((resolve, reject) => {
    debuggerSession.post(method, parameters, (error, result) =>
      error ? reject(error) : resolve(result),
    );
  });
}

/** The value that the debugger speaks of. */
async function realValue({ type, value, unserializableValue, objectId }) {
  if (objectId !== undefined) {
    let taken;
    hidden.take = (one) => (taken = one);
    const functionDeclaration = "function () { $import.hidden.take(this); }";
    await post("Runtime.callFunctionOn", { objectId, functionDeclaration, silent: true });
    return type === "symbol" ? taken.valueOf() : taken;
  }
  if (unserializableValue === undefined) return value;
  return unserializableValue.endsWith("n")
    ? BigInt(unserializableValue.slice(0, -1))
    : Number(unserializableValue);
}

class Interrupted extends Error {
  name = "Interrupted";
}

/** Evaluates a script; the part of it before its first wait can be interrupted wherever it is. */
async function evaluate(expression) {
  const { promise, resolve, reject } = Promise.withResolvers();
  interruptCell = () => reject(new Interrupted("The cell was interrupted."));
  const settled = (error, result) => {
    pending.delete(first);
    if (error) reject(new Interrupted("The cell was interrupted."));
    else resolve(result);
  };
  let first;
  hidden.go = () => {
    const options = { expression, replMode: true, awaitPromise: true, objectGroup: "cell" };
    const stop = promiseHooks.onInit((made) => (first ??= made));
    try {
      debuggerSession.post("Runtime.evaluate", options, settled);
    } finally {
      stop();
      if (first !== undefined) pending.add(first);
    }
  };
  try {
    goScript.runInThisContext({ breakOnSigint: true });
  } catch {
    interruptCell();
  }
  return promise;
}

function scriptOf(code, number) {
  const script = withoutImports(LANGUAGE === "typescript" ? withoutTypes(code) : code);
  return `${script}\n//# sourceURL=cell-${number}`;
}

function withoutTypes(code) {
  try {
    return stripTypeScriptTypes(code);
  } catch (error) {
    if (error.code !== "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") throw error;
    return stripTypeScriptTypes(code, { mode: "transform" }); // enums, namespaces
  }
}

async function run(command) {
  cell = command;
  wordMax = command.max ?? wordMax;
  const { cell: number, code, silent, env = {}, expressions = {} } = command;
  const counted = !silent && !command.uncounted;
  if (counted) count += 1;
  say({ say: "started", cell: number, ...(counted ? { count } : {}) });
  const before = Object.keys(env).map((name) => [name, process.env[name]]);
  Object.assign(process.env, env);
  let outcome = "ok";
  try {
    const { result, exceptionDetails } = await evaluate(scriptOf(code, number));
    if (exceptionDetails !== undefined) throw await realValue(exceptionDetails.exception ?? result);
    if (!silent && result.type !== "undefined") await showValue(await realValue(result), counted);
    for (const [name, source] of Object.entries(expressions)) await express(name, source, number);
  } catch (error) {
    outcome = error instanceof Interrupted ? "interrupted" : "error";
    say({ say: "error", ...described(error) });
  }
  interruptCell = answered = undefined;
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await post("Runtime.releaseObjectGroup", { objectGroup: "cell" });
  cell = undefined;
  say({ say: "ended", cell: number, outcome });
}

/** An expression after a cell, which changes nothing of how that ended. */
async function express(name, source, number) {
  const word = { say: "expression", name };
  try {
    const { result, exceptionDetails } = await evaluate(scriptOf(`(${source}\n)`, number));
    if (exceptionDetails !== undefined) throw await realValue(exceptionDetails.exception ?? result);
    say({ ...word, forms: await formsOf(await realValue(result)) });
  } catch (error) {
    say({ ...word, error: described(error) });
  }
}

async function showValue(value, counted) {
  if (counted) globalThis._ = value;
  if (handles.has(value)) return;
  if (isForms(value)) {
    const entries = Object.entries(value).map(([mime, data]) => [mime, formOf(mime, data)]);
    say({
      say: "result",
      main: true,
      forms: { "text/plain": plain(value), ...Object.fromEntries(entries) },
    });
  } else {
    say({ say: "result", main: true, forms: await formsOf(value) });
  }
}

/** An error in words, without what is ours on its way. */
function described(error) {
  if (!(error instanceof Error)) {
    const message = typeof error === "string" ? error : plain(error);
    return { name: typeof error, message, traceback: [`Uncaught ${message}`] };
  }
  const name = String(error.name ?? "Error");
  return { name, message: String(error.message), traceback: stackOf(error).split("\n") };
}

function stackOf(error) {
  const lines = String(error.stack ?? `${error.name}: ${error.message}`).split("\n");
  const ours = lines.findIndex((line) => /node:inspector|<kernel>/.test(line));
  const own = (ours === -1 ? lines : lines.slice(0, ours)).filter(
    (line) => !/^ +at .*\bnode:internal\//.test(line),
  );
  const cause = error.cause instanceof Error ? `\nCaused by: ${stackOf(error.cause)}` : "";
  return own.join("\n") + cause;
}

function report(error) {
  process.stderr.write(`Uncaught ${described(error).traceback.join("\n")}\n`);
}

// ---- questions ----

async function answer({ do: what, code, cursor, id }) {
  let reply = {};
  try {
    if (what === "complete") reply = await complete([...code].slice(0, cursor).join(""));
    else if (what === "inspect") reply = await inspect(code, cursor);
    else if (what === "check") reply = check(code);
  } catch {
    reply = {};
  }
  say({ ...reply, say: "reply", to: id });
}

async function quietly(expression) {
  const options = { expression, throwOnSideEffect: true, timeout: 500, objectGroup: "question" };
  const { result, exceptionDetails } = await post("Runtime.evaluate", options);
  return exceptionDetails === undefined ? { value: await realValue(result) } : undefined;
}

async function complete(before) {
  const [, object, word] = /((?:[\w$]+\.)*)([\w$]*)$/.exec(before);
  const end = [...before].length;
  const names =
    object === "" ? await globalNames() : propertiesOf((await quietly(object.slice(0, -1)))?.value);
  const matches = [...names].filter((name) => name.startsWith(word) && /^[\w$]+$/.test(name));
  return { matches: matches.toSorted().slice(0, resultsMax), start: end - word.length, end };
}

async function globalNames() {
  const { names } = await post("Runtime.globalLexicalScopeNames", {});
  return new Set([...names, ...propertiesOf(globalThis)]);
}

function propertiesOf(value) {
  const names = new Set();
  for (
    let at = value === null || value === undefined ? null : Object(value);
    at !== null;
    at = Object.getPrototypeOf(at)
  ) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  return names;
}

async function inspect(code, cursor) {
  const [before, after] = [[...code].slice(0, cursor).join(""), [...code].slice(cursor).join("")];
  const name =
    /[\w$.]*$/.exec(before)[0] + /^[\w$]*/.exec(after)[0] || /([\w$.]+)\([^()]*$/.exec(before)?.[1];
  const found = name ? await quietly(name) : undefined;
  if (found === undefined) return { found: false };
  const { value } = found;
  const type = typeof value === "object" ? (value?.constructor?.name ?? "object") : typeof value;
  const text =
    typeof value === "function"
      ? `Source:\n${String(value).slice(0, 10_000)}`
      : `Value: ${plain(value).slice(0, 10_000)}`;
  return { found: true, forms: { "text/plain": `Type: ${type}\n${text}` } };
}

function check(code) {
  try {
    const script = withoutImports(LANGUAGE === "typescript" ? withoutTypes(code) : code);
    new vm.Script(`async () => {${script}\n}`);
    return { verdict: "complete" };
  } catch (error) {
    try {
      new vm.Script(code);
      return { verdict: "complete" };
    } catch (plainError) {
      const open =
        /Unexpected end of input|Unterminated|missing [)}\]]|Expected .* got eof|Unexpected eof/i;
      return {
        verdict: open.test(`${plainError.message} ${error.message}`) ? "incomplete" : "invalid",
      };
    }
  }
}

// ---- what is prepared, and the loop ----

const hidden = {};

function importModule(name, options) {
  const file = /^\.{0,2}\//.test(name) ? pathToFileURL(path.resolve(name)).href : name;
  if (file !== name || /^(?:node|file|data):/.test(name)) return import(file, options);
  try {
    const found = createRequire(path.resolve("cell.js")).resolve(name);
    return import(path.isAbsolute(found) ? pathToFileURL(found).href : found, options);
  } catch {
    return import(name, options);
  }
}

function define(name, value) {
  Object.defineProperty(globalThis, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: false,
  });
}

const meta = {
  get dirname() {
    return process.cwd();
  },
  get url() {
    return pathToFileURL(path.resolve("cell.js")).href;
  },
};
define("$import", Object.assign(importModule, { hidden, meta }));
define("display", display);
define("input", async (prompt = "", { password = false } = {}) => {
  const text = await ask(prompt, password);
  if (text === undefined) throw new Error("There is nobody to answer.");
  return text;
});
define("_", undefined);
define("require", createRequire(path.resolve("cell.js")));
for (const name of ["module", "exports", "__filename", "__dirname"]) delete globalThis[name];
const goScript = new vm.Script("$import.hidden.go()", { filename: "<kernel>" });

let stdin;
Object.defineProperty(process, "stdin", {
  configurable: true,
  get: () => {
    if (stdin === undefined || stdin.readableEnded || stdin.destroyed) {
      const read = function () {
        void ask("", false).then((text) => this.push(text === undefined ? null : `${text}\n`));
      };
      stdin = new Readable({ read, highWaterMark: 1 });
    }
    return stdin;
  },
});
process.execArgv.length = 0;
process.exit = (code = process.exitCode ?? 0) => {
  throw Object.assign(new Error(`process.exit(${code})`), { name: "Exit" });
};
process.on("SIGINT", () => interruptCell?.());
process.on("uncaughtException", report);
process.on("unhandledRejection", report);

let working = Promise.resolve();
let held = "";
const commands = new net.Socket({ fd: commandsFd, readable: true, writable: false });
commands.setEncoding("utf8");
commands.on("data", (text) => {
  const lines = (held + text).split("\n");
  held = lines.pop();
  for (const line of lines) take(JSON.parse(line));
});
commands.on("end", () => realExit(0));

function take(command) {
  if (command.do === "answer") {
    const resolve = answered;
    answered = undefined;
    resolve?.(command.text);
  } else {
    const work = () => (command.do === "run" ? run(command) : answer(command));
    working = working.then(work, work);
  }
}

say({ say: "ready" });
