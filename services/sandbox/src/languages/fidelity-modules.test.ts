// A Node that waited loads a program as an executed one does: ES modules, packages, TypeScript. What it has looked at
// before the program's files were there must not be remembered.
import { compare, differ, fidelityOf, type Programs } from "./fidelity-fixture.ts";
import { findLanguage, type Language } from "./languages.ts";

const fidelity = fidelityOf();
const shared = {
  fidelity,
  language: (all: readonly Language[]) => findLanguage(all, "javascript"),
};
const typed = { fidelity, language: (all: readonly Language[]) => findLanguage(all, "typescript") };
const main = (text: string) => ({ files: { "main.mjs": text } });
const y = "export const y: string = 'y'";

const modules: Programs = {
  "import.meta and what is around it": main(`import fs from "fs";
console.log(import.meta.url, import.meta.filename, import.meta.dirname, import.meta.main, this);
console.log(import.meta.resolve("./x"), typeof require, process.argv, Reflect.ownKeys(import.meta));
console.log(process.mainModule, process.getActiveResourcesInfo(), new Error("x").stack);
const { createRequire } = await import("module");
console.log(createRequire(import.meta.url).main, Object.keys(createRequire(import.meta.url).cache));`),
  "top-level await that fails": main("await Promise.reject(new Error('tla'))"),
  "top-level await that never settles": main("console.log(1); await new Promise(() => {})"),
  "such an await, with an exit code": main(`process.on("exit", (c) => console.log(c));
await new Promise((resolve) => setTimeout(resolve, 5)); process.exitCode = 5; await new Promise(() => {})`),
  "the order of what is asynchronous": main(`setTimeout(() => console.log("timeout"));
process.nextTick(() => console.log("tick")); Promise.resolve().then(() => console.log("promise"));
console.log("main");`),
  "an error": main("function f() { throw new Error('esm') }\nf()"),
  "a syntax error": main("const x = ;"),
  "a module that is not there": main("import './nope.mjs'"),
  "an export that is not there": {
    files: { "main.mjs": "import { y } from './y.mjs'", "y.mjs": "export const x = 1" },
  },
  "CommonJS from a module": {
    files: {
      "main.mjs": "import d, { a } from './c.cjs'; console.log(d, a, new Error('x').stack)",
      "c.cjs": "exports.a = 1; console.log(require.main, module.parent)",
    },
  },
  "a cycle through the main module": {
    files: {
      "main.mjs": "import './b.mjs'; export const a = 1; console.log('main')",
      "b.mjs": "import * as m from './main.mjs'; console.log(Object.keys(m))",
    },
  },
  "import() from CommonJS": `import("fs").then((f) => console.log(typeof f.default.readFile));
import("./nope.js").catch((error) => console.log(error.code, error.message))`,
  "a .cjs file": { files: { "main.cjs": "console.log(require.main === module); null.x" } },
  "a module by its syntax":
    "import fs from 'fs'; console.log(typeof fs, typeof require, import.meta.url)",
  "a module by its syntax, with an error": "import fs from 'fs'; const x = ;",
  "a module by its syntax, with an export that is not there": "import { nope } from 'fs'",
  "neither CommonJS nor a module":
    "const fs = require('fs'); import x from 'fs'; console.log(x === fs)",
  "await in what looks like CommonJS": "await 1; console.log('tla')",
  "return outside of a function": "return 5;\nconsole.log(1)",
};

const packages: Programs = {
  "type: module": {
    files: { "main.js": "exports.x = 1; console.log(1)", "package.json": '{"type":"module"}' },
  },
  "type: commonjs": {
    files: { "main.js": "console.log(import.meta.url)", "package.json": '{"type":"commonjs"}' },
  },
  "a package.json that does not parse": {
    files: { "main.js": "console.log(1)", "package.json": "{" },
  },
  "imports of a package": {
    files: {
      "main.js": "import x from '#dep'; console.log(x)",
      "dep.mjs": "export default 5",
      "package.json": '{"imports":{"#dep":"./dep.mjs"}}',
    },
  },
  "a package that requires itself": {
    files: {
      "main.cjs": "console.log(require('me/x'), require('#y'))",
      "x.js": "module.exports = 'x'",
      "package.json": '{"name":"me","exports":{"./x":"./x.js"},"imports":{"#y":"./x.js"}}',
    },
  },
  node_modules: {
    files: {
      "main.js": "console.log(require('dep'), require.resolve('dep'), require.resolve.paths('q'))",
      "node_modules/dep/package.json": '{"main":"i.js"}',
      "node_modules/dep/i.js": "module.exports = 'dep'",
    },
  },
  "a file with the name of ours": {
    files: { "main.js": "console.log(require('./hold.cjs'))", "hold.cjs": "module.exports = 'h'" },
  },
  "JSON as the program": { files: { "main.json": "{}" } },
};

const typescript: Programs = {
  "an enum, and what is around it": `enum A { B = 1 }
const x: number = A.B;
console.log(x, process.argv, process.execArgv, typeof require, Object.keys(require.cache));`,
  "an error, in its place": `interface X { a: number }

function f(x: X): never { throw new Error("e" + x.a) }
f({ a: 1 })`,
  "a syntax error": "const x: = 5;\n",
  "parameter properties": "class A { constructor(private x: number) {} }\nconsole.log(new A(1))\n",
  "a cast": "let x = <any>5; console.log(x)",
  "a namespace": "namespace N { export const a = 1 }\nconsole.log(N.a)",
  "a decorator": "@foo class A {}\n",
  "modules by their endings": {
    files: {
      "main.ts":
        "import { y } from './y.ts'; console.log(y, import.meta.url)\nthrow new Error('x')",
      "y.ts": y,
    },
  },
  "an import without an ending": {
    files: { "main.ts": "import { y } from './y'; console.log(y)", "y.ts": y },
  },
  "a .mts file": {
    files: { "main.mts": "const a: number = await 3; console.log(a)\nawait new Promise(() => {})" },
  },
  "a .cts file": {
    files: { "main.cts": "const a: number = 1; console.log(require.main === module)" },
  },
  "a rejection": "async function f(): Promise<void> { await 1; throw new TypeError('t') }\nf()\n",
  "a worker": `import { Worker, isMainThread } from "node:worker_threads";
if (isMainThread) new Worker(new URL(import.meta.url)); else console.log("w" as string)`,
  "a warning": "process.emitWarning('hi')",
};

compare({ ...shared, title: "a Node that waited runs modules:", programs: modules });
compare({ ...shared, title: "a Node that waited finds packages:", programs: packages });
compare({ ...typed, title: "a Node that waited runs TypeScript:", programs: typescript });
differ(
  { ...typed, title: "a Node that waited for TypeScript can be told by" },
  {
    "built-in modules that are loaded: it has stripped types already":
      "console.log(process.moduleLoadList.length)",
  },
);
