/** Every language found on this host, in a plain bubblewrap jail under the seccomp filter. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { discoverLanguages, findLanguage, languageForFile } from "./languages.ts";
import type { Language } from "./languages.ts";
import { seccompProgram } from "../seccomp/seccomp.ts";

const EXAMPLES = fileURLToPath(new URL("../../../../examples/languages", import.meta.url));
const ETC = [
  "/etc/alternatives",
  "/etc/ld.so.cache",
  "/etc/php",
  "/etc/java-17-openjdk",
  "/etc/R",
  "/etc/fonts",
];
const FONT_CACHE = "/var/cache/fontconfig";
const FILTER_FD = 3;
const RUN_MS_MAX = 60_000;

type Files = Readonly<Record<string, string>>;

interface Ended {
  output: string;
  errors: string;
  code: number | null;
}

/** Kept between runs of the tests, because preparing Go takes half a minute. */
const cacheDirectory = fileURLToPath(new URL("../../../../.cache/test/languages", import.meta.url));
const signal = AbortSignal.timeout(10 * RUN_MS_MAX);
const hasBubblewrap = existsSync("/usr/bin/bwrap");
const languages = await Promise.all(
  (await discoverLanguages({ cacheDirectory, signal })).map(
    async (language) => (await language.prepare?.({ signal })) ?? language,
  ),
);

function jail(language: Language): string[] {
  const system = ["/bin", "/lib", "/lib64"].flatMap((path) =>
    existsSync(path) ? ["--ro-bind", path, path] : [],
  );
  return [
    ["--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"],
    ["--ro-bind", "/usr", "/usr", ...system, "--proc", "/proc", "--dev", "/dev"],
    [...ETC, FONT_CACHE].flatMap((path) => ["--ro-bind-try", path, path]),
    ["--tmpfs", "/tmp", "--tmpfs", "/work", "--chdir", "/work", "--clearenv"],
    ["--setenv", "HOME", "/work", "--setenv", "TMPDIR", "/tmp", "--seccomp", String(FILTER_FD)],
    Object.entries(language.env).flatMap(([name, value]) => ["--setenv", name, value]),
    language.binds.flatMap(({ source, target }) => ["--ro-bind", source, target]),
  ].flat();
}

/** Writes the files from inside, builds, and becomes the program; a failed build exits with 99. */
const SCRIPT = [
  'while [ "$1" != -- ]; do mkdir -p "$(dirname "./$1")"; printf %s "$2" > "./$1"; shift 2; done',
  "shift",
  'eval "$1" || exit 99',
  "shift",
  'exec "$@"',
].join("\n");

async function run(language: Language, files: Files, args: readonly string[] = []): Promise<Ended> {
  const names = Object.keys(files);
  const quoted = (language.compile?.(names) ?? ["true"]).map((word) => `'${word}'`).join(" ");
  const script = ["/bin/bash", "-c", SCRIPT, "jail", ...Object.entries(files).flat(), "--", quoted];
  const argv = [...jail(language), "--", ...script, ...language.run(names, args)];
  const child = spawn("bwrap", argv, {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    timeout: RUN_MS_MAX,
  });
  const pipe = child.stdio[FILTER_FD];
  assert.ok(child.stdout !== null && child.stderr !== null);
  assert.ok(pipe !== null && pipe !== undefined && "end" in pipe);
  pipe.end(seccompProgram());
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { output, errors, code: await code };
}

const skip = hasBubblewrap ? false : "bubblewrap is not installed";

for (const language of languages) {
  const { name, version, defaultFile, hello } = language;
  test(`${name} ${version} says hello in a jail`, { skip }, async () => {
    const ended = await run(language, { [defaultFile]: hello });
    assert.deepEqual(ended, { output: "hello\n", errors: "", code: 0 });
  });
}

for (const folder of readdirSync(EXAMPLES)) {
  const language = languages.find(({ name }) => name === folder);
  const missing = language === undefined ? `${folder} is not installed` : skip;
  test(`examples/languages/${folder} prints what it should`, { skip: missing }, async () => {
    const all = readdirSync(join(EXAMPLES, folder));
    const names = all.filter((file) => file !== "expected.txt");
    for (const file of names) assert.equal(languageForFile(file), folder);
    const read = (file: string) => readFileSync(join(EXAMPLES, folder, file), "utf8");
    const files = Object.fromEntries(names.map((file) => [file, read(file)]));
    const ended = await run(findLanguage(languages, folder), files);
    assert.deepEqual(ended, { output: read("expected.txt"), errors: "", code: 0 });
  });
}

interface Case {
  says: string;
  language: string;
  files: Files;
  args?: readonly string[];
  output?: string;
  errors?: RegExp;
  code?: number;
}

const CASES: readonly Case[] = [
  {
    says: "python imports the file beside it and gets its arguments as they are",
    language: "python",
    files: { "main.py": "import sys, other\nprint(other.x, sys.argv[1:])", "other.py": "x = 1" },
    args: ["-c", "a b", "é"],
    output: "1 ['-c', 'a b', 'é']\n",
  },
  {
    says: "python runs threads, processes, asyncio and sockets",
    language: "python",
    files: {
      "main.py": [
        "import asyncio, multiprocessing, socket, ssl, sqlite3, subprocess, sys, threading, uuid",
        "def double(x): return 2 * x",
        "if __name__ == '__main__':",
        "    threading.Thread(target=double, args=(1,)).start()",
        "    with multiprocessing.Pool(2) as pool: print(pool.map(double, [1, 2, 3]))",
        "    async def say(): return await asyncio.to_thread(double, 4)",
        "    print(asyncio.run(say()))",
        "    print(subprocess.check_output(['python3', '-V'], text=True).split()[0])",
        "    print(subprocess.check_output([sys.executable, '-c', 'print(5)'], text=True).strip())",
      ].join("\n"),
    },
    output: "[2, 4, 6]\n8\nPython\n5\n",
  },
  {
    says: "python runs a file whose name looks like an option",
    language: "python",
    files: { "-c": "print('file')" },
    output: "file\n",
  },
  {
    says: "javascript takes an ES module with top-level await in a plain .js file",
    language: "javascript",
    files: {
      "main.js": 'import { x } from "./x.mjs";\nconsole.log(await Promise.resolve(x));\n',
      "x.mjs": "export const x = 7;",
    },
    output: "7\n",
  },
  {
    says: "javascript takes CommonJS in a plain .js file, workers and child processes",
    language: "javascript",
    files: {
      "main.js": [
        'const { Worker } = require("node:worker_threads");',
        'const { execFileSync } = require("node:child_process");',
        'process.stdout.write(execFileSync("node", ["-p", "1 + 1"]));',
        'const source = `require("node:worker_threads").parentPort.postMessage("worker")`;',
        'new Worker(source, { eval: true }).on("message", (text) => console.log(text));',
      ].join("\n"),
    },
    output: "2\nworker\n",
  },
  {
    says: "typescript takes imports, enums and parameter properties",
    language: "typescript",
    files: {
      "main.ts": [
        'import { type N, n } from "./n.ts";',
        "enum Colour { Red = 3 }",
        "class Box { constructor(readonly value: N) {} }",
        "console.log(new Box(n).value + Colour.Red);",
      ].join("\n"),
      "n.ts": "export type N = number; export const n: N = 4;",
    },
    output: "7\n",
  },
  {
    says: "typescript takes CommonJS",
    language: "typescript",
    files: { "main.ts": 'const os: any = require("node:os"); console.log(typeof os.EOL);' },
    output: "string\n",
  },
  {
    says: "r sources the file beside it, gets its arguments as they are and draws",
    language: "r",
    files: {
      "main.r": [
        'source("other.R")',
        "cat(x, commandArgs(trailingOnly = TRUE), '\\n')",
        'for (name in c("a.png", "a.svg")) {',
        '  if (name == "a.png") png(name, type = "cairo") else svg(name)',
        "  plot(1, main = 'text')",
        "  invisible(dev.off())",
        "}",
        "cat(file.size(c('a.png', 'a.svg')) > 1000, list.files(all.files = TRUE, no.. = TRUE), '\\n')",
        'cat(system2("Rscript", c("-e", shQuote("cat(6 * 7)")), stdout = TRUE), "\\n")',
        "quit(status = 3)",
      ].join("\n"),
      "other.R": "x <- 1",
    },
    args: ["-e", "a b", "é"],
    output: "1 -e a b é \nTRUE TRUE a.png a.svg main.r other.R \n42 \n",
    code: 3,
  },
  {
    says: "r tells errors and warnings on stderr",
    language: "r",
    files: { "main.r": "f <- function() stop('wrong')\nwarning('careful')\nf()" },
    errors: /^Warning message:\ncareful \nError in f\(\) : wrong\nExecution halted\n$/,
    code: 1,
  },
  {
    says: "c builds several files and passes the exit code on",
    language: "c",
    files: {
      "main.c":
        '#include "half.h"\n#include <math.h>\nint main(int n, char **v)' +
        " { return half(n * (int)sqrt(4)); }",
      "half.c": "int half(int n) { return n / 2; }",
      "half.h": "int half(int n);",
    },
    args: ["a", "b"],
    code: 3,
  },
  {
    says: "c tells what does not compile",
    language: "c",
    files: { "main.c": "int main(void) { return x; }" },
    errors: /main\.c:1:25: error:/,
    code: 99,
  },
  {
    says: "cpp builds several files with threads",
    language: "cpp",
    files: {
      "main.cpp":
        "#include <iostream>\n#include <thread>\nint answer();\n" +
        'int main() { std::jthread t([] { std::cout << answer() << "\\n"; }); }',
      "answer.cc": "int answer() { return 42; }",
    },
    output: "42\n",
  },
  {
    says: "rust builds modules",
    language: "rust",
    files: {
      "main.rs": 'mod m;\nfn main() { println!("{}", m::X); }',
      "m.rs": "pub const X: u8 = 9;",
    },
    output: "9\n",
  },
  {
    says: "go builds a module with packages",
    language: "go",
    files: {
      "go.mod": "module example.com/app\n\ngo 1.20\n",
      "main.go": 'package main\n\nimport "example.com/app/sub"\n\nfunc main() { println(sub.X) }\n',
      "sub/sub.go": "package sub\n\nconst X = 5\n",
    },
    errors: /^5\n$/,
  },
  {
    says: "go builds several files without a module",
    language: "go",
    files: {
      "main.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(x) }\n',
      "x.go": "package main\n\nconst x = 6\n",
    },
    output: "6\n",
  },
  {
    says: "go listens and dials, though it asks for MPTCP first",
    language: "go",
    files: {
      "main.go": [
        "package main",
        'import ("fmt"; "io"; "net"; "os/exec")',
        "func main() {",
        '  listener, err := net.Listen("tcp", "127.0.0.1:0")',
        "  if err != nil { panic(err) }",
        '  go func() { c, _ := listener.Accept(); c.Write([]byte("hi ")); c.Close() }()',
        '  connection, err := net.Dial("tcp", listener.Addr().String())',
        "  if err != nil { panic(err) }",
        "  said, _ := io.ReadAll(connection)",
        '  echoed, err := exec.Command("/bin/echo", "there").Output()',
        "  fmt.Print(string(said), string(echoed))",
        "}",
      ].join("\n"),
    },
    output: "hi there\n",
  },
  {
    says: "java lists interfaces, connects, and starts threads and processes",
    language: "java",
    files: {
      "Main.java": [
        "import java.net.*;",
        "import java.util.concurrent.*;",
        "public class Main { public static void main(String[] a) throws Exception {",
        "  var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());",
        "  var address = new InetSocketAddress(server.getInetAddress(), server.getLocalPort());",
        "  var threads = Executors.newFixedThreadPool(4);",
        "  threads.submit(() -> { server.accept().getOutputStream().write(7); return null; });",
        "  var client = new Socket(); client.connect(address);",
        "  System.out.println(client.getInputStream().read());",
        "  System.out.println(NetworkInterface.getByInetAddress(address.getAddress()).getName());",
        '  System.out.println(new ProcessBuilder("/bin/true").start().waitFor());',
        "  threads.shutdown();",
        "} }",
      ].join("\n"),
    },
    output: "7\nlo\n0\n",
  },
  {
    says: "java builds packages, the first file being the main class",
    language: "java",
    files: {
      "com/example/App.java":
        "package com.example;\npublic class App" +
        " { public static void main(String[] a) { System.out.println(Word.WORD + a[0]); } }",
      "com/example/Word.java": 'package com.example;\nclass Word { static String WORD = "é"; }',
    },
    args: ["ü"],
    output: "éü\n",
  },
  {
    says: "php tells errors on stderr",
    language: "php",
    files: { "main.php": "<?php echo mb_strlen('é') ?? 0;" },
    errors: /Uncaught Error: Call to undefined function mb_strlen|^$/,
    code: 255,
  },
];

test(
  "go builds from the cache that prepare() filled, which no jail can change",
  { skip },
  async (t) => {
    const go = languages.find(({ name }) => name === "go");
    if (go === undefined) return t.skip("go is not installed");
    assert.equal(go.prepare, undefined, "once prepared, there is nothing to prepare");
    const found = findLanguage(await discoverLanguages({ cacheDirectory, signal }), "go");
    assert.deepEqual(found.binds, go.binds, "the cache is found again");
    for (const { source } of go.binds) {
      assert.equal(statSync(source).mode & 0o005, 0o005, "a jail's user is none of the host's");
    }
    const cache = go.env["GOCACHE"] ?? "";
    const source = `package main

import ("fmt"; "os")

func main() { fmt.Println(os.WriteFile("${cache}/x", nil, 0o600), os.Remove("${cache}/complete")) }
`;
    const { output } = await run(go, { "main.go": source });
    assert.match(output, /^open .*: read-only file system remove .*: read-only file system\n$/);
  },
);

for (const { says, files, args, output, errors, code, ...wanted } of CASES) {
  const language = languages.find(({ name }) => name === wanted.language);
  const missing = language === undefined ? `${wanted.language} is not installed` : skip;
  test(says, { skip: missing }, async () => {
    const ended = await run(findLanguage(languages, wanted.language), files, args);
    assert.equal(ended.code, code ?? 0, ended.errors);
    assert.equal(ended.output, output ?? "");
    if (errors === undefined) assert.equal(ended.errors, "");
    else assert.match(ended.errors, errors);
  });
}
