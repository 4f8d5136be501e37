// Sandboxes that stay: their life, their processes and files, through the whole platform.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { post, refusal } from "../api.ts";
import { assertHostUnchanged, observeHost } from "../host.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import {
  type FileEntry,
  follow,
  getOk,
  getProcess,
  getSandbox,
  killSandbox,
  makeSandbox,
  parseChange,
  parseSandbox,
  pathOf,
  postOk,
  type Process,
  type Sandbox,
  shell,
  startProcess,
  textOf,
  watchProcess,
} from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";
import { readSentEvents } from "../streams.ts";

const platform = sharedPlatform();

test("a sandbox keeps files and processes from call to call, and ends with all of them", async () => {
  const before = await observeHost(platform());
  const { id, status } = await makeSandbox(platform(), {
    env: { GREETING: "hello" },
    secrets: { TOKEN: "very secret" },
    metadata: { user: "ada" },
  });
  assert.equal(status, "RUNNING");
  const first = await shell(
    platform(),
    id,
    "echo $GREETING > note; echo $TOKEN | wc -c; pwd; sleep 1000 &",
  );
  assert.deepEqual([first.process.exitCode, first.stdout], [0, "12\n/work\n"]);
  const second = await shell(platform(), id, "cat note; pgrep -c sleep >&2; exit 7");
  assert.deepEqual([second.process.exitCode, second.stdout, second.stderr], [7, "hello\n", "1\n"]);
  const told = JSON.stringify(await getSandbox(platform(), id));
  assert.ok(!told.includes("very secret"));
  const ended = await killSandbox(platform(), id);
  assert.deepEqual([ended.status, ended.endReason], ["ENDED", "killed"]);
  assert.equal((await getSandbox(platform(), id)).endReason, "killed");
  const { detail } = await refusal(
    await post(platform(), pathOf(id, "/processes"), { command: "ls" }),
    410,
    "sandbox_ended",
  );
  assert.match(detail ?? "", /killed/);
  await assertHostUnchanged(platform(), before);
});

test("a sandbox's end, whatever it is, is told", async () => {
  const { id, expiresAt } = await makeSandbox(platform(), { lifetime: "3600s" });
  const events = readSentEvents(
    await fetch(`${platform().url}${pathOf(id, ":watch")}`, {
      headers: { Accept: "text/event-stream" },
    }),
  );
  const statuses: string[] = [];
  const watching = (async () => {
    for await (const { data, event } of events) {
      if (event !== "end") statuses.push(parseSandbox(data).status);
    }
  })();
  const extended = await postOk<Sandbox>(platform(), pathOf(id, ":extend"), { lifetime: "0.5s" });
  assert.ok(Date.parse(extended.expiresAt) < Date.parse(expiresAt));
  await eventually(
    "it has expired",
    async () => (await getSandbox(platform(), id)).status === "ENDED",
  );
  await watching;
  assert.equal((await getSandbox(platform(), id)).endReason, "expired");
  assert.equal(statuses.at(-1), "ENDED");
  await refusal(
    await fetch(`${platform().url}${pathOf("01890a5d-ac96-774b-bcce-b302099a8057")}`),
    404,
    "sandbox_not_found",
  );
});

test("a paused sandbox stands still, and goes on where it was", async () => {
  const { id } = await makeSandbox(platform());
  const counter = await startProcess(platform(), id, {
    command: "bash",
    args: ["-c", "while :; do echo -n .; sleep 0.01; done"],
  });
  const printed = async () => (await getProcess(platform(), id, counter.id)).lastEvent;
  await shell(platform(), id, "echo kept > /tmp/kept");
  assert.equal((await postOk<Sandbox>(platform(), pathOf(id, ":pause"), {})).status, "PAUSED");
  await refusal(
    await post(platform(), pathOf(id, "/processes"), { command: "ls" }),
    409,
    "sandbox_paused",
  );
  await refusal(await fetch(`${platform().url}${pathOf(id, "/files")}`), 409, "sandbox_paused");
  assert.equal((await postOk<Sandbox>(platform(), pathOf(id, ":pause"), {})).status, "PAUSED");
  await sleep(100);
  const then = await printed();
  await sleep(200);
  assert.equal(await printed(), then);
  assert.equal((await postOk<Sandbox>(platform(), pathOf(id, ":resume"), {})).status, "RUNNING");
  assert.equal((await shell(platform(), id, "cat /tmp/kept")).stdout, "kept\n");
  const response = await watchProcess(platform(), id, counter.id, 0);
  const dots = await follow(response, (event) => event.number > 3);
  assert.match(textOf(dots), /^\.+$/);
  await postOk(platform(), pathOf(id, ":pause"), {});
  assert.equal((await killSandbox(platform(), id)).endReason, "killed");
});

test("a sandbox that is killed while it is paused or resumed has ended, and stays so", async () => {
  for (const verb of [":pause", ":resume"]) {
    for (let turn = 0; turn < 16; turn += 1) {
      const { id } = await makeSandbox(platform());
      if (verb === ":resume") await postOk(platform(), pathOf(id, ":pause"), {});
      const change = () => post(platform(), pathOf(id, verb), {});
      // As far apart as makes them meet at each point of the way.
      const later = turn % 2 === 0 ? 0 : turn / 4;
      const changed = change();
      await sleep(later);
      const killed = await killSandbox(platform(), id);
      assert.deepEqual([killed.status, killed.endReason], ["ENDED", "killed"]);
      await (await changed).body?.cancel();
      const { status } = await getOk<Sandbox>(platform(), pathOf(id));
      assert.equal(status, "ENDED");
    }
  }
});

test("what is begun while a sandbox is killed goes well, or is told that it has ended", async () => {
  for (let turn = 0; turn < 24; turn += 1) {
    const { id } = await makeSandbox(platform());
    const response =
      turn % 2 === 0
        ? post(platform(), pathOf(id, "/processes"), { command: "true" })
        : fetch(`${platform().url}${pathOf(id, "/network")}`, {
            method: "PUT",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ mode: "FULL" }),
          });
    await sleep(turn / 8);
    await killSandbox(platform(), id);
    const answer = await response;
    if (answer.ok) await answer.body?.cancel();
    else await refusal(answer, 410, "sandbox_ended");
  }
});

test("sandboxes are listed with a filter, in pages", async () => {
  const label = `list ${Date.now()}`;
  const made = [];
  for (let n = 0; n < 3; n += 1) made.push(await makeSandbox(platform(), { metadata: { label } }));
  await killSandbox(platform(), made[0]?.id ?? "");
  const list = (query: Record<string, string>) =>
    getOk<{ sandboxes: Sandbox[]; nextPageToken: string }>(
      platform(),
      `/api/v1/sandboxes?${new URLSearchParams(query).toString()}`,
    );
  const filter = `metadata.label = "${label}"`;
  const page = await list({ filter, pageSize: "2" });
  assert.deepEqual(
    page.sandboxes.map(({ id }) => id),
    [made[2]?.id, made[1]?.id],
  );
  const rest = await list({ filter, pageSize: "2", pageToken: page.nextPageToken });
  assert.deepEqual(
    rest.sandboxes.map(({ id, status }) => [id, status]),
    [[made[0]?.id, "ENDED"]],
  );
  assert.equal((await list({ filter: `${filter} AND status = "RUNNING"` })).sandboxes.length, 2);
  for (const { id } of made) await killSandbox(platform(), id);
});

test("a process's events are numbered, and whoever comes back misses nothing", async () => {
  const { id } = await makeSandbox(platform());
  const code = "for n in 1 2 3 4 5; do echo line $n; sleep 0.05; done; echo bad >&2; exit 4";
  const started = await post(
    platform(),
    pathOf(id, "/processes:stream"),
    { command: "bash", args: ["-c", code], tag: "lines" },
    { headers: { Accept: "text/event-stream" } },
  );
  const begin = await follow(started, (event) => event.stdout?.text?.includes("line 2") === true);
  const { processes } = await getOk<{ processes: Process[] }>(
    platform(),
    pathOf(id, "/processes?tag=lines"),
  );
  const [process] = processes;
  assert.ok(process !== undefined);
  const rest = await follow(await watchProcess(platform(), id, process.id, begin.at(-1)?.number));
  const events = [...begin, ...rest];
  assert.deepEqual(
    events.map(({ number }) => number),
    events.map((_, index) => index + 1),
  );
  assert.equal(textOf(events), "line 1\nline 2\nline 3\nline 4\nline 5\n");
  assert.equal(textOf(events, "stderr"), "bad\n");
  assert.equal(events.at(-1)?.ended?.exitCode, 4);
  assert.deepEqual(await follow(await watchProcess(platform(), id, process.id)), events);
  await killSandbox(platform(), id);
});

test("a process takes input as it comes, and signals", async () => {
  const { id } = await makeSandbox(platform());
  const cat = await startProcess(platform(), id, { command: "cat", input: true });
  const write = (body: object) => post(platform(), pathOf(id, `/processes/${cat.id}:write`), body);
  assert.equal((await write({ text: "héllo " })).status, 200);
  assert.equal(
    (await write({ base64: Buffer.from("wörld").toString("base64"), end: true })).status,
    200,
  );
  const events = await follow(await watchProcess(platform(), id, cat.id));
  assert.equal(textOf(events), "héllo wörld");
  assert.equal(events.at(-1)?.ended?.exitCode, 0);
  await refusal(await write({ text: "more" }), 409, "process_input_closed");
  const sleeper = await startProcess(platform(), id, {
    command: "bash",
    args: ["-c", "sleep 100 & sleep 100"],
  });
  await refusal(
    await post(platform(), pathOf(id, `/processes/${sleeper.id}:signal`), { signal: "SIGNONE" }),
    400,
    "invalid_request",
  );
  await postOk(platform(), pathOf(id, `/processes/${sleeper.id}:signal`), { signal: "SIGTERM" });
  const ended = await follow(await watchProcess(platform(), id, sleeper.id));
  assert.equal(ended.at(-1)?.ended?.signal, "SIGTERM");
  const late = await shell(platform(), id, "sleep 100", { timeout: "0.2s" });
  assert.deepEqual([late.process.signal, late.process.endReason], ["SIGKILL", "timeout"]);
  await refusal(
    await post(platform(), pathOf(id, "/processes"), { command: "no-such-program" }),
    400,
    "process_not_started",
  );
  await refusal(
    await post(platform(), pathOf(id, "/processes"), { command: "ls", directory: "none" }),
    400,
    "process_not_started",
  );
  await refusal(
    await fetch(`${platform().url}${pathOf(id, "/processes/99")}`),
    404,
    "process_not_found",
  );
  await killSandbox(platform(), id);
});

test("a process that takes more processor time than it may is ended, with all that it started", async () => {
  const { id } = await makeSandbox(platform());
  const burn = { command: "bash", args: ["-c", "(while :; do :; done) & while :; do :; done"] };
  const { process } = await postOk<{ process: Process }>(platform(), pathOf(id, "/processes:run"), {
    ...burn,
    cpuTime: "0.2s",
  });
  assert.deepEqual([process.signal, process.endReason], ["SIGKILL", "cpu_time"]);
  // What others took before is not counted.
  const quick = { command: "sleep", args: ["0.3"], cpuTime: "0.2s" };
  const ran = await postOk<{ process: Process }>(platform(), pathOf(id, "/processes:run"), quick);
  assert.equal(ran.process.exitCode, 0);
  await killSandbox(platform(), id);
});

test("a terminal is one: of its size, with job control, line by line", async () => {
  const { id } = await makeSandbox(platform());
  const terminal = { columns: 90, rows: 30 };
  const bash = await startProcess(platform(), id, {
    command: "bash",
    args: ["--norc", "-i"],
    terminal,
  });
  const type = (text: string) =>
    postOk(platform(), pathOf(id, `/processes/${bash.id}:write`), { text });
  await type("stty size; tty\n");
  const until = async (part: string) => {
    let text = "";
    await follow(await watchProcess(platform(), id, bash.id), (event) =>
      (text += event.stdout?.text ?? "").includes(part),
    );
  };
  await until("30 90");
  await until("/dev/pts/");
  await postOk(platform(), pathOf(id, `/processes/${bash.id}:resize`), {
    terminal: { columns: 70, rows: 20 },
  });
  await type("stty size\n");
  await until("20 70");
  await type("echo rea''dy; while :; do sleep 0.05; done\n");
  await until("ready");
  await type("\u0003");
  await type("echo after $((6*7))\n");
  await until("after 42");
  await type("exit 5\n");
  const events = await follow(await watchProcess(platform(), id, bash.id));
  assert.equal(events.at(-1)?.ended?.exitCode, 5);
  await killSandbox(platform(), id);
});

test("files are written, read, listed, moved and removed, and what is wrong is said", async () => {
  const { id } = await makeSandbox(platform());
  const bytes = Buffer.from([0, 255, 128, 10]);
  const { entries } = await postOk<{ entries: FileEntry[] }>(
    platform(),
    pathOf(id, "/files:write"),
    {
      files: [
        { path: "src/main.py", content: "print('ñ')\n" },
        { path: "/tmp/data.bin", contentBase64: bytes.toString("base64"), mode: 0o600 },
      ],
    },
  );
  assert.deepEqual(
    entries.map(({ path, sizeBytes, mode }) => [path, sizeBytes, mode]),
    [
      ["/work/src/main.py", 12, 0o644],
      ["/tmp/data.bin", 4, 0o600],
    ],
  );
  assert.equal((await shell(platform(), id, "python3 src/main.py")).stdout, "ñ\n");
  const read = (path: string) =>
    getOk<{ content: string; contentBase64: string }>(
      platform(),
      pathOf(id, `/files:read?path=${encodeURIComponent(path)}`),
    );
  assert.equal((await read("src/main.py")).content, "print('ñ')\n");
  assert.ok(Buffer.from((await read("/tmp/data.bin")).contentBase64, "base64").equals(bytes));
  await postOk(platform(), pathOf(id, "/files:makeDirectory"), { path: "out/deep" });
  await postOk(platform(), pathOf(id, "/files:move"), {
    path: "src/main.py",
    newPath: "out/main.py",
  });
  const { entries: listed } = await getOk<{ entries: FileEntry[] }>(
    platform(),
    pathOf(id, "/files?depth=9"),
  );
  assert.deepEqual(
    listed.map(({ path }) => path),
    ["/work/out", "/work/out/deep", "/work/out/main.py", "/work/src"],
  );
  await postOk(platform(), pathOf(id, "/files:remove"), { path: "out" });
  const refused = async (path: string, status: number, code: string) =>
    refusal(
      await fetch(`${platform().url}${pathOf(id, `/files:read?path=${encodeURIComponent(path)}`)}`),
      status,
      code,
    );
  await refused("out/main.py", 404, "file_not_found");
  await refused("/proc/1/mem", 403, "file_refused");
  await refused("src", 409, "file_conflict");
  const full = await post(platform(), pathOf(id, "/files:write"), {
    files: [{ path: "/etc/hosts", content: "x" }],
  });
  await refusal(full, 403, "file_refused");
  await killSandbox(platform(), id);
});

test("changes of files are told as they happen", async () => {
  const { id } = await makeSandbox(platform());
  const response = await fetch(`${platform().url}${pathOf(id, "/files:watch?recursive=true")}`, {
    headers: { Accept: "text/event-stream" },
  });
  const seen: string[] = [];
  for await (const { data } of readSentEvents(response)) {
    const { type, path } = parseChange(data);
    seen.push(`${type} ${path}`);
    if (type === "BEGUN") await shell(platform(), id, "mkdir d; echo 1 > d/f; rm d/f; touch end");
    if (path === "/work/end") break;
  }
  for (const wanted of ["CREATED /work/d", "CREATED /work/d/f", "REMOVED /work/d/f"]) {
    assert.ok(seen.includes(wanted), `${wanted} in ${seen.join(", ")}`);
  }
  await killSandbox(platform(), id);
});

test("a process that nobody follows keeps its last output, and says how much went before", async () => {
  const { id } = await makeSandbox(platform());
  const flood = await startProcess(platform(), id, {
    command: "bash",
    args: ["-c", "head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last"],
  });
  await eventually(
    "it has ended",
    async () => !(await getProcess(platform(), id, flood.id)).running,
  );
  const events = await follow(await watchProcess(platform(), id, flood.id));
  const lost = events[0]?.lostBytes ?? 0;
  assert.equal(lost + textOf(events).length, 30_000_006);
  assert.ok(textOf(events).length < 2_000_000 && textOf(events).endsWith("last\n"));
  await killSandbox(platform(), id);
});

test("what a sandbox may use holds for all in it together, and it lives on", async () => {
  const { id } = await makeSandbox(platform(), {
    limits: { memoryBytes: 64 * 1024 ** 2, pids: 20, diskBytes: 1_000_000 },
  });
  const bomb = await shell(
    platform(),
    id,
    "for i in $(seq 100); do sleep 5 & done 2>&1 | grep -c unavailable; true",
    { timeout: "10s" },
  );
  assert.ok(!bomb.process.running);
  await eventually("its processes are gone", async () => {
    const { metrics } = await getOk<{ metrics: { pids: number }[] }>(
      platform(),
      pathOf(id, "/metrics"),
    );
    return (metrics.at(-1)?.pids ?? 99) < 3;
  });
  const eater = await shell(platform(), id, "python3 -c 'x = bytearray(200_000_000)'");
  assert.ok(eater.process.signal === "SIGKILL" || eater.process.exitCode === 137);
  const disk = await shell(platform(), id, "head -c 2000000 /dev/zero > big; echo $?");
  assert.equal(disk.stdout, "1\n");
  assert.equal((await shell(platform(), id, "echo alive")).stdout, "alive\n");
  await killSandbox(platform(), id);
});

test("what a platform had when it died is LOST, and what it had when it stopped has ended", async () => {
  const data = makeDataDirectory();
  const dying = await startPlatform({ data });
  const lost = await makeSandbox(dying);
  const paused = await makeSandbox(dying);
  await startProcess(dying, lost.id, { command: "sleep", args: ["1000"] });
  await postOk(dying, pathOf(paused.id, ":pause"), {});
  await dying.kill();
  const next = await startPlatform({ data });
  for (const { id } of [lost, paused]) {
    const { status, endReason } = await getSandbox(next, id);
    assert.deepEqual([status, endReason], ["LOST", "lost"]);
  }
  const kept = await makeSandbox(next);
  assert.equal(await next.stop(), 0);
  const last = await startPlatform({ data });
  const { status, endReason } = await getSandbox(last, kept.id);
  assert.deepEqual([status, endReason], ["ENDED", "stopped"]);
  assert.equal(await last.stop(), 0);
});

test("a process's words come after what it had printed before, on a stream of their own", async () => {
  const { id } = await makeSandbox(platform());
  const code = "for n in $(seq 200); do echo out $n; echo word $n >&3; done";
  const spec = { command: "bash", args: ["-c", code], words: true };
  const events = await follow(
    await post(platform(), pathOf(id, "/processes:stream"), spec, {
      headers: { Accept: "text/event-stream" },
    }),
  );
  let printed = "";
  let last = 0;
  for (const { stdout, words } of events) {
    printed += stdout?.text ?? "";
    const said = [...(words?.text ?? "").matchAll(/word (\d+)/g)].map(([, n]) => Number(n));
    last = Math.max(last, ...said);
    assert.ok(last === 0 || printed.includes(`out ${last}\n`));
  }
  assert.equal(last, 200);
  const none = await shell(platform(), id, "echo word >&3");
  assert.notEqual(none.process.exitCode, 0, "without being asked for there is no such stream");
  await killSandbox(platform(), id);
});
