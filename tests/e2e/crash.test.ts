// What is left when something dies without a word: the platform, its database, or its caller's patience.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { afterEach, test } from "node:test";
import {
  create,
  execute,
  type ExecutionEvent,
  get,
  list,
  parseExecution,
  post,
  python,
  refusal,
} from "../api.ts";
import { descendants, groupsOf, processes } from "../host.ts";
import { attemptPlatform, makeDataDirectory, type Platform, startPlatform } from "../platform.ts";
import { assertGapless, readExecutionEvents, readSentEvents, stdoutOf } from "../streams.ts";
import { getSandbox, makeSandbox } from "../sandbox-api.ts";
import { eventually } from "./shared.ts";

const endless = {
  language: "bash",
  code: "echo up; while :; do sleep 1; done",
  limits: { wallTime: "600s" },
};
const cleanUps: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** A data folder that goes after the test. */
function dataDirectory(): string {
  const data = makeDataDirectory();
  cleanUps.push(() => rmSync(data, { recursive: true, force: true }));
  return data;
}

/** A platform that is ended after the test, if it was not before. */
async function start(data: string, environment: Record<string, string> = {}): Promise<Platform> {
  const platform = await startPlatform({ data, environment });
  cleanUps.push(() => platform.stop());
  return platform;
}

async function createRunning(platform: Platform): Promise<string> {
  const { id } = await create(platform, endless);
  await untilOutput(platform, id);
  return id;
}

async function untilOutput(platform: Platform, id: string): Promise<void> {
  const response = await watch(platform, id);
  for await (const { data } of readSentEvents(response)) if (data.includes('"stdout"')) return;
  assert.fail(`${id} ended without a word`);
}

function watch({ url }: Platform, id: string): Promise<Response> {
  return fetch(`${url}/api/v1/executions/${id}/events`);
}

/** The processes of a platform and all below it. */
function family(pid: number): number[] {
  return [pid, ...descendants(pid).map((child) => child.pid)];
}

async function assertGone(pids: readonly number[]): Promise<void> {
  await eventually(`the processes ${pids.join()} are gone`, async () => {
    const alive = new Set(processes().map(({ pid }) => pid));
    return pids.every((pid) => !alive.has(pid));
  });
}

/** Whether the history knows that an execution runs. */
async function isRecorded(platform: Platform, id: string): Promise<boolean> {
  const { executions } = await list(platform, { filter: "status = RUNNING" });
  return executions.some((one) => one.id === id);
}

test("an acknowledged execution that waited is found after kill -9, and runs", async () => {
  const data = dataDirectory();
  const first = await start(data, { SYLA_EXECUTION_SLOTS: "1" });
  const running = await createRunning(first);
  await eventually("it is recorded as running", async () => isRecorded(first, running));
  const waiting = await create(first, {
    language: "python",
    code: "print('after all')",
    metadata: { k: "v" },
  });
  assert.equal((await get(first, waiting.id)).status, "PENDING");
  await first.kill();
  const second = await start(data);
  const { events, end } = await readExecutionEvents(await watch(second, waiting.id));
  assertGapless(events);
  assert.equal(end, "end");
  const found = await get(second, waiting.id);
  assert.deepEqual(
    [found.status, found.stdout, found.metadata],
    ["SUCCEEDED", "after all\n", { k: "v" }],
  );
  assert.equal(found.createdAt, waiting.createdAt);
  assert.equal((await get(second, running)).status, "LOST");
});

test("one that ran is LOST after kill -9, with what it had said, and its watch ends", async () => {
  const data = dataDirectory();
  const first = await start(data);
  const id = await createRunning(first);
  await eventually("it is recorded as running", async () => isRecorded(first, id));
  const pids = family(first.pid);
  await first.kill();
  const second = await start(data);
  const lost = await get(second, id);
  assert.deepEqual([lost.status, lost.errorType, lost.exitCode], ["LOST", "lost", undefined]);
  assert.ok(lost.finishedAt !== undefined && lost.errorMessage);
  const { events, end } = await readExecutionEvents(await watch(second, id));
  assertGapless(events);
  assert.equal(stdoutOf(events), lost.stdout);
  assert.match(lost.stdout, /^(up\n)?$/);
  assert.deepEqual([events.at(-1)?.finished?.status, end], ["LOST", "end"]);
  assert.deepEqual(
    (await list(second, { filter: "status = LOST" })).executions.map((one) => one.id),
    [id],
  );
  await assertGone(pids);
});

test("what was said a while before kill -9 is kept", async () => {
  const data = dataDirectory();
  const first = await start(data);
  const code = "for n in $(seq 100000); do echo $n; sleep 0.02; done";
  const { id } = await create(first, { language: "bash", code, limits: { wallTime: "600s" } });
  const seen: ExecutionEvent[] = [];
  const response = await watch(first, id);
  for await (const { data: text } of readSentEvents(response)) {
    seen.push(parseEvent(text));
    if (stdoutOf(seen).includes("\n50\n")) break;
  }
  await first.kill();
  const second = await start(data);
  const { stdout, status } = await get(second, id);
  assert.equal(status, "LOST");
  // What was said is written at every quarter of a second, so the first of fifty lines is long safe.
  assert.match(stdout, /^1\n2\n3\n/);
  assert.ok(stdoutOf(seen).startsWith(stdout) || stdout.startsWith(stdoutOf(seen)));
});

function parseEvent(text: string): ExecutionEvent {
  return JSON.parse(text) as ExecutionEvent;
}

test("nothing of a killed platform is left after the next start: processes, groups, sockets", async () => {
  const data = dataDirectory();
  const first = await start(data);
  const ids = await Promise.all(Array.from({ length: 4 }, () => createRunning(first)));
  for (const id of ids) await eventually("it is recorded", async () => isRecorded(first, id));
  const pids = family(first.pid);
  assert.ok(
    groupsOf(first.pid).length > 0 || process.getuid?.() !== 0,
    "there were groups to leave",
  );
  await first.kill();
  const second = await start(data);
  await assertGone(pids);
  await eventually("its groups are gone", async () => groupsOf(first.pid).length === 0);
  assert.equal((await python(second, "print(1)")).stdout, "1\n");
});

test("a second start on the same data is refused, and names who runs there", async () => {
  const data = dataDirectory();
  const platform = await start(data);
  const attempt = attemptPlatform(data);
  assert.notEqual(await attempt.ended, 0);
  assert.match(attempt.log(), new RegExp(`\\b${platform.pid}\\b`));
  assert.ok(attempt.log().includes(platform.url), attempt.log());
  assert.equal((await python(platform, "print(1)")).stdout, "1\n");
  assert.equal(await platform.stop(), 0);
  const again = await start(data);
  assert.equal((await python(again, "print(2)")).stdout, "2\n");
});

/** The processes of the platform's own database. */
function databaseOf(platform: Platform): number[] {
  const all = processes();
  const roots = all.filter(
    ({ parent, command }) => parent === platform.pid && command.includes("postgres"),
  );
  return roots.flatMap(({ pid }) => [pid, ...descendants(pid, all).map((child) => child.pid)]);
}

test("a database that is killed gives 503 with a reason, and comes back by itself", async () => {
  const platform = await start(dataDirectory());
  const before = await create(platform, { language: "bash", code: "echo kept" });
  await readExecutionEvents(await watch(platform, before.id));
  await eventually(
    "it is recorded",
    async () => (await list(platform)).executions[0]?.status === "SUCCEEDED",
  );
  const refusals = new Set<string>();
  const pids = databaseOf(platform);
  assert.ok(pids.length > 0, "the database is found");
  for (const pid of pids) killIfAlive(pid);
  await eventually("it answers again", async () => {
    const response = await fetch(`${platform.url}/api/v1/executions`);
    if (response.status !== 200)
      refusals.add((await refusal(response, 503, "database_unavailable")).code);
    else await response.body?.cancel();
    return response.status === 200;
  });
  assert.equal((await get(platform, before.id)).stdout, "kept\n");
  assert.equal((await python(platform, "print('on')")).stdout, "on\n");
  assert.equal((await fetch(`${platform.url}/ready`)).status, 200);
  const created = await create(platform, { language: "bash", code: "echo new" });
  assert.ok((await readExecutionEvents(await watch(platform, created.id))).events.length > 0);
});

test("a run that ends while the database is dead is recorded when it is back", async () => {
  const platform = await start(dataDirectory());
  const answer = execute(platform, { language: "bash", code: "sleep 0.5; echo survived" });
  await eventually("it runs", async () =>
    /^syla_executions_running 1$/m.test(await metricsOf(platform)),
  );
  for (const pid of databaseOf(platform)) killIfAlive(pid);
  const { id, stdout } = await answer;
  assert.equal(stdout, "survived\n");
  await eventually("the history has it", async () => {
    const response = await fetch(`${platform.url}/api/v1/executions?filter=status%3DSUCCEEDED`);
    return (await response.text()).includes(id);
  });
});

test("a sandbox that ends while the database is dead takes no place, and is recorded when it is back", async () => {
  const platform = await start(dataDirectory(), { SYLA_SANDBOX_KEPT_MAX: "1" });
  const { id } = await makeSandbox(platform, { lifetime: "2s" });
  const full = await post(platform, "/api/v1/sandboxes", {});
  await refusal(full, 429, "sandboxes_full");
  // Held, it is not replaced either: nothing can be recorded until it goes on.
  const database = databaseOf(platform);
  for (const pid of database) process.kill(pid, "SIGSTOP");
  try {
    await eventually("it has ended, and takes no place", async () =>
      /^syla_sandboxes_kept 0$/m.test(await metricsOf(platform)),
    );
    const { status, endReason } = await getSandbox(platform, id);
    assert.deepEqual([status, endReason], ["ENDED", "expired"]);
  } finally {
    for (const pid of database) killIfAlive(pid);
  }
  await eventually("another can be made", async () => {
    return (await post(platform, "/api/v1/sandboxes", {})).ok;
  });
  const ended = await fetch(`${platform.url}/api/v1/sandboxes?filter=status%3DENDED`);
  assert.ok((await ended.text()).includes(id), "it is recorded");
});

async function metricsOf({ url }: Platform): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It went with another of its family.
  }
}

test("SIGTERM lets what runs finish, refuses what is new, and leaves nothing", async () => {
  const data = dataDirectory();
  const platform = await start(data);
  const running = post(platform, "/api/v1/executions:execute", {
    language: "bash",
    code: "sleep 1; echo finished",
  });
  await eventually("it runs", async () =>
    /^syla_executions_running 1$/m.test(await metricsOf(platform)),
  );
  const pids = family(platform.pid);
  platform.signal("SIGTERM");
  await eventually("new calls are refused", async () => {
    const outcome = await post(platform, "/api/v1/executions:execute", {
      language: "bash",
      code: "echo",
    }).then(
      async (response) => ((await response.text()) === "" ? 0 : response.status),
      () => 503,
    );
    return outcome === 503;
  });
  const response = await running;
  assert.equal(response.status, 200);
  assert.equal(parseExecution(await response.json()).stdout, "finished\n");
  await assertGone(pids);
  assert.equal(await platform.ended, 0, platform.log());
  assert.deepEqual(groupsOf(platform.pid), []);
  assert.equal(existsSync(`${data}/platform.json`), false);
});

test("the end of standard input ends a platform with all that waits and runs", async () => {
  const data = dataDirectory();
  const platform = await startPlatform({ data, environment: { SYLA_SERVER_DRAIN: "1s" } });
  const id = await createRunning(platform);
  const pids = family(platform.pid);
  assert.equal(await platform.stop(), 0, platform.log());
  await assertGone(pids);
  assert.deepEqual(groupsOf(platform.pid), []);
  const again = await start(data);
  const { status } = await get(again, id);
  assert.match(status, /^(CANCELLED|LOST)$/, "it is over, and known to be");
  assert.doesNotMatch(
    readFileSync(`/proc/${again.pid}/cgroup`, "utf8"),
    new RegExp(`syla-${platform.pid}-`),
  );
});
