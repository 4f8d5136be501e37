// Programs that were built before, in real jails. The compilers are scripts: each build has a number that no other has,
// so that a run tells which compiler's call it comes from.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { LimitsSchema, RunRequestSchema } from "@syla/contract/syla/sandbox/v1/runner";
import { present } from "@syla/kit/assert";
import { CallContext } from "@syla/kit/call";
import { defaultsOf } from "@syla/kit/config";
import { createLog } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { buildAgent } from "../jail/agent-build.ts";
import { BuildCache } from "./cache.ts";
import { openCgroups } from "../cgroup/cgroup.ts";
import { sandboxSettings } from "../config.ts";
import { openSpawner } from "../jail/spawner.ts";
import { Jails } from "../jail/jails.ts";
import type { Language } from "../languages/languages.ts";
import { prepareRoot } from "../jail/root.ts";
import { Runner } from "../run.ts";
import { seccompFilter } from "../seccomp/seccomp.ts";

const mebibyte = 1024 ** 2;
const directory = mkdtempSync(join(tmpdir(), "syla-build-"));
let runner: Runner;
let close: () => Promise<void>;

before(async () => {
  const config = { ...defaultsOf(sandboxSettings), poolWarm: 0 };
  const log = createLog({ level: "silent", name: "test" });
  const metrics = createMetrics({ processMetrics: false });
  const agent = await buildAgent({
    directory: join(tmpdir(), `syla-agent-test-${process.getuid?.()}`),
  });
  chmodSync(directory, 0o755);
  const root = prepareRoot({ directory: join(directory, "root"), agentPath: agent.path });
  const [cgroups, spawner] = [await openCgroups({}), await openSpawner({ agentPath: agent.path })];
  const jails = new Jails({
    config,
    cgroups,
    root,
    spawner,
    filter: seccompFilter(),
    metrics,
    log,
  });
  const cache = new BuildCache({
    ...{ directory: join(directory, "builds"), bytesMax: 64 * mebibyte, metrics, log },
  });
  const builds = { cache, agent: basename(agent.path) };
  const network = Promise.reject(new Error("Nothing is reached here."));
  network.catch(() => undefined);
  runner = new Runner({ config, jails, builds, log, network });
  close = async () => {
    await runner.drain();
    await cache.settle();
    await jails.close();
    await spawner.close();
    await cgroups.close();
    rmSync(directory, { recursive: true, force: true });
  };
});
after(() => close());

/** Says its number, and makes a program that says it too and then does what the source says. */
const compiler = `number=$(od -An -N8 -tx8 /dev/urandom); echo "warning$number" >&2; echo made
(echo '#!/bin/sh'; echo "echo built$number"; cat main.m) > .program; chmod 755 .program`;

let languages = 0;

/** A language of its own, so that no test has another's builds. */
function languageOf(script: string, changes: Partial<Language> = {}): Language {
  languages += 1;
  return {
    ...{ name: `made ${languages}`, aliases: [], version: "1.0", extensions: ["m"], binds: [] },
    ...{ defaultFile: "main.m", env: {}, hello: "", memoryBytesMin: 0, pidsMin: 1 },
    fileFor: () => "main.m",
    compile: (files) => ["/bin/sh", "-c", script, ...files],
    run: (_, args) => ["/work/.program", ...args],
    ...changes,
  };
}

const limits = create(LimitsSchema, {
  ...{ wallTime: durationFromMs(20_000), cpuTime: durationFromMs(20_000) },
  ...{ memoryBytes: BigInt(128 * mebibyte), pids: 32, diskBytes: BigInt(64 * mebibyte) },
  ...{ outputBytes: BigInt(mebibyte), artifactBytes: BigInt(mebibyte) },
});

interface Ran {
  readonly phases: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
  readonly errorType: string | undefined;
  readonly artifacts: readonly string[];
}

interface Sent {
  readonly stdin?: Uint8Array;
  readonly args?: string[];
  readonly env?: Record<string, string>;
  readonly artifacts?: string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly limits?: Partial<typeof limits>;
  readonly anew?: boolean;
}

async function run(language: Language, source: string, sent: Sent = {}): Promise<Ran> {
  const { files = {}, anew = false, limits: bounds, ...more } = sent;
  const request = create(RunRequestSchema, {
    language: language.name,
    files: Object.entries({ "main.m": source, ...files }).map(([name, text]) => {
      return { name, content: Buffer.from(text) };
    }),
    ...more,
    limits: { ...limits, ...bounds },
  });
  const said = { stdout: "", stderr: "" };
  const [phases, artifacts]: [string[], string[]] = [[], []];
  for await (const { event } of runner.run(request, language, new CallContext(), { anew })) {
    if (event.case === "started") phases.push(event.value.phase);
    if (event.case === "stdout" || event.case === "stderr")
      said[event.case] += Buffer.from(event.value).toString("utf8");
    if (event.case === "artifact") artifacts.push(Buffer.from(event.value.content).toString());
    if (event.case !== "finished") continue;
    const { exitCode, errorType } = event.value;
    return { phases, ...said, exitCode, errorType, artifacts };
  }
  throw new Error("the run did not end");
}

/** Whether a run's program was compiled for it. */
function compiled({ phases }: Ran): boolean {
  return phases.includes("compile");
}

test("a program that was built before is not compiled again, and everything else is as it was", async () => {
  const language = languageOf(compiler);
  const source = 'echo to stderr >&2; cat; echo "$@" > out; exit 7\n';
  const sent = { stdin: Buffer.from("in\n"), args: ["a", "b c"], artifacts: ["out"] };
  const first = await run(language, source, sent);
  assert.deepEqual(first.phases, ["compile", "run"]);
  assert.match(first.stderr, /^warning [0-9a-f]{16}\nto stderr\n$/);
  const number = present(/ [0-9a-f]{16}/.exec(first.stderr)?.[0], "the build's number");
  assert.deepEqual(first, {
    ...{ phases: ["compile", "run"], exitCode: 7, errorType: "exit_code", artifacts: ["a b c\n"] },
    ...{ stdout: `made\nbuilt${number}\nin\n`, stderr: `warning${number}\nto stderr\n` },
  });
  assert.deepEqual(await run(language, source, sent), { ...first, phases: ["run"] });
  const others = await run(language, source, { args: ["c"], env: { A: "1" }, artifacts: ["out"] });
  assert.deepEqual(
    [others.phases, others.artifacts, others.stdout],
    [["run"], ["c\n"], `made\nbuilt${number}\n`],
  );
});

test("another file, name, option, variable or compiler compiles anew", async () => {
  const tool = join(directory, "tool");
  writeFileSync(tool, "1");
  const language = languageOf(compiler, { binds: [{ source: tool, target: "/opt/tool" }] });
  const withTool = { ...language, compile: () => ["/bin/sh", "-c", compiler, "x=/opt/tool"] };
  const seen = new Set<string>();
  const isNew = async (what: string, used: Language, source: string, sent: Sent = {}) => {
    const ran = await run(used, source, sent);
    assert.ok(compiled(ran) && !seen.has(ran.stdout), `${what}: ${ran.stdout}${ran.stderr}`);
    seen.add(ran.stdout);
    assert.equal(compiled(await run(used, source, sent)), false, `${what}, again`);
  };
  await isNew("the first", withTool, "echo one");
  await isNew("another source", withTool, "echo two");
  await isNew("a file more", withTool, "echo one", { files: { "a.h": "1" } });
  await isNew("its content", withTool, "echo one", { files: { "a.h": "2" } });
  await isNew("its name", withTool, "echo one", { files: { "b.h": "2" } });
  await isNew(
    "an option",
    { ...withTool, compile: () => ["/bin/sh", "-ec", compiler] },
    "echo one",
  );
  await isNew("a variable", { ...withTool, env: { MODE: "fast" } }, "echo one");
  writeFileSync(tool, "2");
  await isNew("an upgraded compiler", { ...withTool }, "echo one");
  assert.equal(compiled(await run(withTool, "echo one", { anew: true })), true, "when told to");
});

test("a program that changes its own file changes no other run", async () => {
  const language = languageOf(compiler);
  const source = "rm .program; echo 'echo evil' > .program; chmod 755 .program; ls -l .program\n";
  const first = await run(language, source);
  const second = await run(language, source);
  assert.equal(first.errorType, undefined);
  assert.deepEqual(
    [compiled(second), second.stdout.split("\n")[1]],
    [false, first.stdout.split("\n")[1]],
  );
});

test("a build of many files comes back with its folders and modes", async () => {
  const script = `mkdir -p .program/a/b; echo "echo $(od -An -N8 -tx8 /dev/urandom)" > .program/a/b/part
printf '#!/bin/sh\\n. .program/a/b/part; [ -x .program/a/b/part ] || echo plain' > .program/start
chmod 755 .program/start`;
  const language = languageOf(script, { run: () => ["/work/.program/start"] });
  const first = await run(language, "");
  assert.match(first.stdout, /^[0-9a-f]{16}\nplain\n$/);
  assert.deepEqual(await run(language, ""), { ...first, phases: ["run"] });
});

test("what a compiler leaves that is no program of its own is run, and not kept", async () => {
  const scripts: Readonly<Record<string, string>> = {
    "a link": `${compiler}; mv .program real; ln -s real .program`,
    "a link beside it": `mkdir d; ${compiler.replaceAll(".program", "d/x")}; ln -s x d/y; mv d .program`,
    "more than is kept": `${compiler}; echo exit >> .program; head -c 17000000 /dev/zero >> .program`,
    "a file not to be read": `${compiler}; chmod 111 .program`,
    "too much said": `${compiler}; head -c 300000 /dev/zero | tr '\\0' w >&2`,
    "no process left for it": `${compiler}; for i in $(seq 40); do sleep 1 & done 2> /dev/null; exit 0`,
  };
  for (const [what, script] of Object.entries(scripts)) {
    const folder = what === "a link beside it" ? "/work/.program/x" : "/work/.program";
    const language = languageOf(script, { run: () => [folder] });
    const [first, second] = [await run(language, "exit"), await run(language, "exit")];
    assert.ok(compiled(first) && compiled(second), what);
    assert.notEqual(first.stderr, second.stderr, what);
  }
});

test("a compile error is not kept, and a program whose compiler said too much ends by that again", async () => {
  const failing = languageOf(`${compiler}; exit 1`);
  const [first, second] = [await run(failing, ""), await run(failing, "")];
  assert.deepEqual([first.errorType, second.errorType], ["compile", "compile"]);
  assert.notEqual(first.stderr, second.stderr);
  const talking = languageOf(`${compiler}; head -c 10000 /dev/zero | tr '\\0' w >&2`);
  assert.equal((await run(talking, "")).errorType, undefined);
  assert.equal(compiled(await run(talking, "")), false);
  const bounded = await run(talking, "", { limits: { outputBytes: 5000n } });
  assert.deepEqual([bounded.errorType, compiled(bounded)], ["output", true]);
});

test("a compiler has nothing of the run but its files", async () => {
  const language = languageOf(`${compiler}; (env; cat; echo "$@") > compiler.txt`);
  const sent = { env: { TOKEN: "secret" }, stdin: Buffer.from("secret"), args: ["secret"] };
  const { stdout } = await run(language, 'cat compiler.txt; echo "$TOKEN"; cat', sent);
  assert.match(stdout, /^PATH=/m);
  assert.match(stdout, /secret\nsecret$/, "the program has it");
  assert.doesNotMatch(stdout.replace(/secret\nsecret$/, ""), /secret/);
});

test("a program with a file where the compiler's goes is compiled each time", async () => {
  const language = languageOf(compiler);
  for (let turn = 0; turn < 2; turn += 1) {
    const ran = await run(language, "echo ran", { files: { ".program": "its own" } });
    assert.deepEqual([compiled(ran), ran.stdout.endsWith("ran\n")], [true, true], ran.stderr);
  }
});

test("a build that does not fit on a run's disk ends it as its compiler would have", async () => {
  const language = languageOf(
    `${compiler}; echo exit >> .program; head -c 4000000 /dev/zero >> .program`,
  );
  assert.equal((await run(language, "")).errorType, undefined);
  const ran = await run(language, "", { limits: { diskBytes: BigInt(mebibyte) } });
  assert.deepEqual([ran.errorType, ran.phases], ["disk", []]);
});

test("runs of one program at one time all have a build", async () => {
  const language = languageOf(compiler);
  const all = await Promise.all(Array.from({ length: 6 }, () => run(language, "echo ran")));
  for (const { stdout, errorType } of all) {
    assert.equal(errorType, undefined);
    assert.match(stdout, /^made\nbuilt [0-9a-f]{16}\nran\n$/);
  }
  assert.equal(compiled(await run(language, "echo ran")), false);
});
