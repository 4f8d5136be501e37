// A JavaScript program cannot tell whether its Node was started for it or had waited: what Node shows of itself and of
// the program, what it says of errors, how it ends, its streams, workers and children.
import { compare, differ, fidelityOf, type Programs } from "./fidelity-fixture.ts";
import { findLanguage, type Language } from "./languages.ts";

const fidelity = fidelityOf();
const language = (languages: readonly Language[]): Language =>
  findLanguage(languages, "javascript");
const main = (text: string) => ({ "main.js": text });

const itself: Programs = {
  "arguments, environment, the main module": {
    files: main(`
console.log(process.argv, process.execArgv, process.title, process.execPath, process.argv0);
console.log(require.main === module, module.id, module.paths, __filename, __dirname, module.parent);
console.log(module.children, module.loaded, process.mainModule === module, arguments.length);
console.log(process.env, Object.keys(require.cache), process.cwd(), this === module.exports);
console.log(process.exitCode, process.pid, process.ppid, process.umask(), process.getgroups());
console.log(process.getActiveResourcesInfo(), process.eventNames(), process._preload_modules);
console.log(process.debugPort, process.stdin.constructor.name, process.stdout.constructor.name);
console.log(new Error("x").stack, require("inspector").url());`),
    args: ["a b", "", "é", "--inspect"],
    env: { FOO: "bär", A: "x=y" },
  },
  "every name there is": `
for (const o of [process, globalThis, require, module, require("module"), require.extensions]) {
  console.log(Reflect.ownKeys(o).map(String).join());
}`,
  "the built-in modules that are loaded": "console.log(process.moduleLoadList.join('\\n'))",
  "the module loader's caches": `
const M = require("module");
console.log(Object.keys(M._pathCache), Object.keys(M._cache), M.globalPaths, M._load.name);
M._load = new Proxy(M._load, { apply(f, self, a) { console.log(a[0], a[2]); return f.apply(self, a) } });
require("fs");`,
  "a main file in a folder": {
    files: {
      "sub/main.js": "console.log(__filename, process.argv, process.cwd(), require('./b'))",
      "sub/b.js":
        "module.exports = [module.parent.id, module.parent.filename, require.main.filename]",
    },
    args: ["x"],
  },
  "a main file whose name begins with a dash": {
    files: { "-m.js": "console.log(__filename, process.argv); throw 1" },
  },
  "a main file without an ending": { files: { main: "console.log(__filename)" } },
  "a main file that is required": {
    files: {
      "main.js": "exports.x = 1; require('./o'); console.log(require.main.children.length)",
      "o.js": "console.log(require('./main.js').x, module.parent.filename)",
    },
  },
  "stack traces": `
Error.stackTraceLimit = 50;
function f() { return new Error("q").stack }
console.log(f()); console.trace("t");
process.nextTick(() => console.log(f())); Promise.resolve().then(() => console.log(f()));
setImmediate(() => console.log(f()));
Error.prepareStackTrace = (e, calls) => calls.map((c) => c.getFileName() + c.getFunctionName()).join();
console.log(f());`,
  "source maps": {
    files: {
      "main.js": "function f() { throw new Error('sm') }\nf()\n//# sourceMappingURL=main.js.map\n",
      "main.js.map": '{"version":3,"sources":["a.ts"],"names":[],"mappings":"AAAA"}',
    },
  },
  "the order of what is asynchronous": `
setTimeout(() => console.log("timeout")); process.nextTick(() => console.log("tick"));
Promise.resolve().then(() => console.log("promise")); queueMicrotask(() => console.log("microtask"));
console.log("main");`,
  "asynchronous contexts": `
const { executionAsyncId, triggerAsyncId, createHook } = require("async_hooks");
const seen = [];
createHook({ init: (id, type, trigger) => seen.push([id, type, trigger]) }).enable();
console.log(executionAsyncId(), triggerAsyncId());
setTimeout(() => console.log(executionAsyncId(), triggerAsyncId(), seen));`,
  "the stack's depth": `
let depth = 0; function f() { depth += 1; f() }
try { f() } catch (error) { console.log(error.message, Math.round(depth / 500)) }`,
  "memory, processor and clock, from near nothing": `
const { rss, heapUsed, heapTotal } = process.memoryUsage();
console.log(rss > 3e7, heapUsed < heapTotal, heapTotal < 3e7, process.resourceUsage().swappedOut);
console.log(require("v8").getHeapStatistics().heap_size_limit, process.cpuUsage().user < 1e6);
console.log(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 50);
console.log(performance.getEntries(), performance.nodeTiming.loopStart, process.uptime() > 0);`,
  "locale and time zone": `
console.log(new Date(0).toString(), Intl.DateTimeFormat().resolvedOptions(), navigator.language);
process.env.TZ = "Asia/Tokyo"; console.log(new Date(0).getHours());`,
  "its process": `
const fs = require("fs"), read = (name) => fs.readFileSync("/proc/self/" + name, "utf8");
console.log(read("cmdline").split("\\0"), read("comm"), read("limits"), read("oom_score_adj"));
console.log(read("status").split("\\n").filter((line) => !/^(Vm|Rss|vol|nonvol|Huge)/.test(line)));
console.log(fs.readdirSync("/proc/self/task").length, fs.readlinkSync("/proc/self/cwd"));
console.log(process.report.getReport().header.commandLine);
process.title = "abc"; console.log(process.title, read("cmdline"));`,
  warnings: `
new Buffer(5); require("punycode"); process.emitWarning("w", "DeprecationWarning", "DEP1");
const emitter = new (require("events"))(); for (let i = 0; i < 12; i++) emitter.on("a", () => {});`,
  "a REPL": `
const input = require("stream").Readable.from(["1 + 1\\n", ".exit\\n"]);
require("repl").start({ input, output: process.stdout });`,
};

const errors: Programs = Object.fromEntries(
  [
    "function f() { throw new Error('é') }\nf()\n",
    "throw {a: 1}",
    "throw null",
    "#!/usr/bin/node\nthrow 1",
    "Promise.reject(new Error('r'))",
    "Promise.reject(5)",
    "async function f() { await 1; throw new Error('in async') }\nf()",
    "process.on('uncaughtException', (e, origin) => console.log(e.message, origin)); throw new Error('x')",
    "process.on('unhandledRejection', (e) => console.log('rejected', e)); Promise.reject(7)",
    "setTimeout(() => { throw new TypeError('t') })",
    "process.nextTick(() => { null.x })",
    "queueMicrotask(() => { null.x })",
    "const e = new Error('c', {cause: new Error('d')}); e.code = 'X'; throw e",
    "throw new AggregateError([new Error('a')], 'agg')",
    "new (require('events'))().emit('error', new Error('ee'))",
    "require('fs').readFileSync('/nope')",
    "require('./nope')",
    "require('assert')(1 === 2)",
    "require('assert').strictEqual(1, 2)",
    "require('vm').runInNewContext('throw new Error(\"q\")')",
    "function f() { f() }\nf()",
    "process.on('exit', () => { throw new Error('in exit') })",
    "console.log(1\nfoo bar\n",
    "const a = 1; const a = 2;",
    "let x = 'a\nb'",
    "<html>",
    "\u{feff}foo()",
    "console.log(`a\r\nb`)\r\nfoo()\r\n",
    "",
  ].map((text) => [JSON.stringify(text), text]),
);

const ends: Programs = Object.fromEntries(
  [
    "process.exitCode = 3; process.on('exit', (c) => console.log(c)).on('beforeExit', console.log)",
    "process.exit(4)",
    "process.on('exit', () => { process.exitCode = 9 }); process.exit()",
    "process.exit('x')",
    "process.exitCode = '7'",
    "process.exit(300)",
    "process.reallyExit(5)",
    "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 1000)",
    "process.on('SIGINT', () => process.exit(2)); process.kill(process.pid, 'SIGINT'); setTimeout(() => {}, 1e3)",
    "process.kill(process.pid, 'SIGPIPE'); setTimeout(() => console.log('alive'), 20)",
  ].map((text) => [text, text]),
);

const streams: Programs = {
  "much output at once, and process.exit":
    "for (let i = 0; i < 5000; i++) console.log(`line ${i}`)",
  "a closed descriptor 1": "require('fs').closeSync(1); console.log('x')",
  "a stdout that has ended": "process.stdout.end(); setTimeout(() => console.log(1), 5)",
  "stdin as a stream": {
    files: main(
      "process.stdin.on('data', (d) => console.log(d)).on('end', () => console.log('end'))",
    ),
    stdin: "hello\nworld",
  },
  "stdin, iterated": {
    files: main("(async () => { for await (const c of process.stdin) console.log(String(c)) })()"),
    stdin: "q",
  },
  "stdin, read in pieces": {
    files: main(
      "const i = process.stdin.once('readable', () => console.log(i.read(2) + '', i.read() + ''))",
    ),
    stdin: "abcd",
  },
  "stdin as a file": {
    files: main(
      "for (const f of [0, '/dev/stdin']) console.log(require('fs').readFileSync(f, 'utf8'))",
    ),
    stdin: "abc",
  },
  "stdin by line": {
    files: main(`const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => console.log(">", line)).on("close", () => console.log("close"))`),
    stdin: "a\nb\r\nc",
  },
  "stdin, paused": {
    files: main(
      "process.stdin.on('data', () => {}).pause(); process.on('exit', (c) => console.log(c))",
    ),
    stdin: "x",
  },
  "stdin that a child takes": {
    files: main("require('child_process').spawn('cat', { stdio: 'inherit' })"),
    stdin: "inherited",
  },
  "no stdin": "process.stdin.on('end', () => console.log('end', process.stdin.fd)).resume()",
  "a question without an answer": `
require("readline").createInterface({ input: process.stdin }).question("q? ", (a) => console.log(a))`,
};

const others: Programs = {
  "a worker": {
    files: main(`const { Worker, isMainThread, parentPort } = require("worker_threads");
const about = [process.argv, process.execArgv, process.env, process._preload_modules];
const caches = [Object.keys(require.cache), Object.keys(require("module")._pathCache)];
if (!isMainThread) parentPort.postMessage([about, caches, require.main === module]);
else new Worker(__filename, { argv: ["q"] }).on("message", console.log).on("exit", console.log);`),
    env: { FOO: "1" },
  },
  "a worker that fails":
    "new (require('worker_threads').Worker)('throw new Error(\"w\")', { eval: true })",
  "a fork, with its channel": `
if (process.argv[2]) { process.send([process.argv, process.execArgv, process.env]); process.disconnect() }
else require("child_process").fork(__filename, ["c"]).on("message", console.log).on("exit", console.log);
if (!process.argv[2]) console.log(process.connected, process.send, process.channel);`,
  "a cluster": `
const cluster = require("cluster");
if (cluster.isPrimary) cluster.fork().on("exit", console.log).on("message", (m) => console.log(m));
else { process.send(process.argv.length + " " + process.execArgv); process.disconnect() }`,
  "children that are executed": `
const { execFileSync, execSync } = require("child_process");
console.log(String(execFileSync(process.execPath, ["-p", "[process.argv, process.execArgv, process.env]"])));
console.log(String(execSync("grep Sig /proc/self/status; env | sort; ls /proc/self/fd | wc -l")));`,
  "a server and its client": `
const server = require("http").createServer((q, r) => r.end("ok")).listen(0, async () => {
  console.log(await (await fetch("http://127.0.0.1:" + server.address().port)).text()); process.exit() });`,
  "tests in files of their own": {
    files: {
      "main.js": `require("node:test").run({ files: ["a.test.js"] }).on("test:pass", (t) => console.log(t.name))
  .on("test:fail", (t) => console.log(t.details.error))`,
      "a.test.js": "require('node:test')('inner', () => {})",
    },
  },
};

const shared = { language, fidelity };
compare({
  ...shared,
  title: "a Node that waited shows of itself what an executed one does",
  programs: itself,
});
compare({ ...shared, title: "a Node that waited reports", programs: errors });
compare({ ...shared, title: "a Node that waited ends by", programs: ends });
compare({
  ...shared,
  title: "a Node that waited has the streams of an executed one",
  programs: streams,
});
compare({ ...shared, title: "a Node that waited starts", programs: others });
differ(
  { ...shared, title: "a Node that waited can be told by" },
  {
    "numbers of descriptors: the two by which it waited came first":
      "console.log(require('fs').openSync('/dev/null'))",
    "/proc/self/environ: it has what Node was started with":
      "console.log(require('fs').readFileSync('/proc/self/environ', 'utf8'))",
    "what its stdin leads to without input: a memory file, as with input":
      "console.log(require('fs').readlinkSync('/proc/self/fd/0'))",
  },
);
