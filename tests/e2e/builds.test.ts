// Compiled programs that come again: no compiler runs for them, and nothing else about them is different.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { execute, post, type Server, type Spec } from "../api.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import { readExecutionEvents } from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

// Version managers keep their tools below the home folder.
const platform = sharedPlatform({ environment: { HOME: homedir() } });

/** How many builds were asked for, by how that went. */
async function requests({ url }: Server, language: string): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const shape = new RegExp(
    `^syla_build_cache_requests_total\\{.*language="${language}",result="(\\w+)".*\\} (\\d+)$`,
    "gm",
  );
  return Object.fromEntries(
    [...metrics.matchAll(shape)].map(([, how = "", n]) => [how, Number(n)]),
  );
}

/** A run as its caller sees it, without its times and name. */
async function ran(server: Server, spec: Spec) {
  const { events } = await readExecutionEvents(
    await post(server, "/api/v1/executions:stream", spec),
  );
  const { status, exitCode, signal, errorType, errorMessage } = events.at(-1)?.finished ?? {};
  const { stdout, stderr, artifacts } = await execute(server, spec);
  return {
    phases: events.flatMap(({ status: moved }) => moved?.phase ?? []),
    ...{ status, exitCode, signal, errorType, errorMessage, stdout, stderr, artifacts },
  };
}

const warning = 'int main(void) { int *p = "text"; return !p; }';

const programs: Readonly<Record<string, Spec & { readonly language: string }>> = {
  "a C program of several files, with warnings, arguments, an artifact and an exit code": {
    language: "c",
    files: [
      {
        name: "main.c",
        content: `#include <stdio.h>
#include "half.h"
int main(int n, char **v) {
  int *p = "not an int";
  FILE *f = fopen("out.txt", "w"); fputs(v[1], f); fclose(f);
  fprintf(stderr, "ran %d\\n", !p); puts("half"); return half(14);
}`,
      },
      { name: "lib/half.c", content: '#include "half.h"\nint half(int n) { return n / 2; }' },
      { name: "half.h", content: "int half(int n);" },
    ],
    ...{ args: ["kept"], artifacts: ["out.txt", "none"] },
  },
  "a C++ program that aborts": {
    language: "cpp",
    code: '#include <iostream>\nint main() { std::cout << "x" << std::endl; throw 1; }',
  },
  "a Java program of several classes and packages": {
    language: "java",
    files: [
      {
        name: "com/example/Main.java",
        content: `package com.example;
import com.example.parts.Part;
public class Main {
  record Pair(int a, int b) {}
  public static void main(String[] args) throws Exception {
    Runnable inner = new Runnable() { public void run() { System.out.println(new Pair(1, 2)); } };
    inner.run();
    System.out.println(Part.name() + System.getenv("WORD"));
    System.exit(3);
  }
}`,
      },
      {
        name: "com/example/parts/Part.java",
        content: `package com.example.parts;
public class Part { @Deprecated public static String name() { return new java.util.Date(1).toGMTString(); } }`,
      },
    ],
    env: { WORD: "word" },
  },
  "a Go program": {
    language: "go",
    code: 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("gone"); panic("here") }\n',
  },
  "a Rust program with warnings": {
    language: "rust",
    code: 'fn main() { let unused = 1; println!("iron"); std::process::exit(4); }',
  },
};

for (const [what, spec] of Object.entries(programs)) {
  const { language } = spec;
  test(`${what} is compiled once, and the same when it comes again`, async (context) => {
    const languages = await (await fetch(`${platform().url}/api/v1/languages`)).text();
    if (!languages.includes(`"name":"${language}"`))
      return context.skip(`${language} is not on this host`);
    const earlier = await requests(platform(), language);
    const first = await ran(platform(), spec);
    assert.deepEqual(first.phases, ["", "compile", "run"], JSON.stringify(first));
    assert.deepEqual(await ran(platform(), spec), { ...first, phases: ["", "run"] });
    const { hit = 0, miss = 0 } = await requests(platform(), language);
    assert.deepEqual([hit - (earlier["hit"] ?? 0), miss - (earlier["miss"] ?? 0)], [3, 1]);
    return undefined;
  });
}

test("warnings of a compiler are shown with every run, before what the program writes", async () => {
  const first = await execute(platform(), { language: "c", code: warning });
  assert.match(first.stderr, /main\.c:1:27: warning: /);
  const { events } = await readExecutionEvents(
    await post(platform(), "/api/v1/executions:stream", { language: "c", code: warning }),
  );
  const kinds = events.map(({ status, stderr }) => status?.phase ?? (stderr && "stderr"));
  assert.deepEqual(kinds.slice(0, 3), ["", "run", "stderr"]);
  assert.equal(events.map(({ stderr }) => stderr?.text ?? "").join(""), first.stderr);
});

test("a program that differs by a byte, or does not compile, is compiled", async () => {
  const code = "int main(void) { return 5; }";
  assert.equal((await execute(platform(), { language: "c", code })).exitCode, 5);
  const other = await execute(platform(), { language: "c", code: code.replace("5", "6") });
  assert.equal(other.exitCode, 6);
  const before = await requests(platform(), "c");
  for (let turn = 0; turn < 2; turn += 1) {
    const wrong = await execute(platform(), { language: "c", code: "int main(void) {" });
    assert.equal(wrong.errorType, "compile");
    assert.match(wrong.stderr, /error:/);
  }
  const after = await requests(platform(), "c");
  assert.equal(after["miss"], (before["miss"] ?? 0) + 2);
});

test("builds outlive the platform, and one that is damaged meanwhile is made again", async () => {
  const data = makeDataDirectory();
  const builds = join(data, "builds");
  const specs = [1, 2].map((code) => {
    return { language: "c", code: `int main(void) { return ${code}; }` };
  });
  let running = await startPlatform({ data });
  try {
    for (const spec of specs) await execute(running, spec);
    const kept = () => readdirSync(builds).filter((name) => !name.startsWith("."));
    await eventually("both are on the disk", async () => kept().length === 2);
    assert.equal(statSync(builds).mode & 0o777, 0o700);
    await running.kill();
    const [name = ""] = kept();
    const bytes = readFileSync(join(builds, name));
    bytes.fill(0, 1000);
    writeFileSync(join(builds, name), bytes);
    running = await startPlatform({ data });
    const codes = [];
    for (const spec of specs) codes.push((await execute(running, spec)).exitCode);
    assert.deepEqual(codes, [1, 2]);
    assert.deepEqual(await requests(running, "c"), { hit: 1, damaged: 1 });
    assert.equal(await running.stop(), 0);
  } finally {
    await running.kill();
    rmSync(data, { recursive: true, force: true });
  }
});

test("a platform that is to keep no builds compiles each time, and has none on its disk", async () => {
  const off = await startPlatform({ environment: { SYLA_SANDBOX_BUILD_CACHE_BYTES: "0" } });
  try {
    for (let turn = 0; turn < 2; turn += 1) {
      const { events } = await readExecutionEvents(
        await post(off, "/api/v1/executions:stream", { language: "c", code: warning }),
      );
      assert.deepEqual(
        events.flatMap(({ status }) => status?.phase ?? []),
        ["", "compile", "run"],
      );
    }
    assert.ok(!readdirSync(off.data).includes("builds"));
    assert.equal(await off.stop(), 0);
  } finally {
    await off.kill();
  }
});
