import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { ExecutionEvent } from "@syla/contract/syla/execution/v1/execution";
import { createSyla, SylaError } from "./client.ts";
import { type FakeOptions, startFakePlatform } from "./fake-platform.ts";
import type { FakeProcessView } from "./fake-sandboxes.ts";

const retry = { firstDelayMs: 1, maxDelayMs: 2 };

async function start(options: FakeOptions) {
  const platform = await startFakePlatform(options);
  after(() => platform.close());
  return { platform, syla: createSyla({ url: platform.url }) };
}

function textOf(event: ExecutionEvent): string {
  const chunk = event.event.case === "stdout" ? event.event.value.data : undefined;
  return chunk?.case === "text" ? chunk.value : "";
}

const countToTen = {
  programs: {
    count: async ({ stdout }: { stdout: (text: string) => void }) => {
      for (let n = 1; n <= 10; n += 1) stdout(`${n} `);
    },
  },
};

test("run() gives every event once and in order over connections that keep breaking", async () => {
  const { syla } = await start({ ...countToTen, cutAfter: 3 });
  const seen: ExecutionEvent[] = [];
  for await (const event of syla.run({ language: "python", code: "count" }, { retry })) {
    seen.push(event);
  }
  assert.deepEqual(
    seen.map((event) => event.number),
    Array.from({ length: 12 }, (_, index) => index + 1),
  );
  assert.equal(seen.map(textOf).join(""), "1 2 3 4 5 6 7 8 9 10 ");
  assert.equal(seen.at(-1)?.event.case, "finished");
});

test("followExecution() begins after the number that was seen last", async () => {
  const { syla } = await start(countToTen);
  const { id } = await syla.execution.createExecution({
    spec: { language: "python", code: "count" },
  });
  const output: string[] = [];
  for await (const event of syla.followExecution(id, { after: 8 })) output.push(textOf(event));
  assert.equal(output.join(""), "8 9 10 ");
});

test("followExecution() gives up after the number of attempts it was given", async () => {
  const { platform, syla } = await start({});
  await platform.close();
  const events = syla.followExecution("0197a000-0000-7000-8000-000000000001", {
    retry: { ...retry, attempts: 2 },
  });
  await assert.rejects(Array.fromAsync(events), (error) => {
    assert(error instanceof SylaError);
    return error.code === "unreachable";
  });
});

test("followExecution() does not try again what the platform refuses", async () => {
  const { syla } = await start({});
  const events = syla.followExecution("0197a000-0000-7000-8000-000000000009");
  await assert.rejects(Array.fromAsync(events), { code: "execution_not_found" });
});

function endless() {
  const ended = Promise.withResolvers<void>();
  const body = async ({
    stdout,
    cancelled,
  }: {
    stdout: (text: string) => void;
    cancelled: AbortSignal;
  }) => {
    stdout("on ");
    await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
    ended.resolve();
  };
  return { ended: ended.promise, options: { programs: { endless: body } } };
}

test("leaving run() cancels the run", async () => {
  const { ended, options } = endless();
  const { syla } = await start(options);
  for await (const event of syla.run({ language: "python", code: "endless" })) {
    if (event.event.case === "stdout") break;
  }
  await ended;
});

test("the signal of run() cancels the run and is told as cancelled", async () => {
  const { ended, options } = endless();
  const { syla } = await start(options);
  const controller = new AbortController();
  const running = async () => {
    const { signal } = controller;
    for await (const event of syla.run({ language: "python", code: "endless" }, { signal })) {
      if (event.event.case === "stdout") controller.abort();
    }
  };
  await assert.rejects(running(), { code: "cancelled" });
  await ended;
});

test("leaving followExecution() does not disturb the execution", async () => {
  const { options } = endless();
  const { platform, syla } = await start(options);
  const { id } = await syla.execution.createExecution({
    spec: { language: "python", code: "endless" },
  });
  for await (const event of syla.followExecution(id)) {
    if (event.event.case === "stdout") break;
  }
  assert.equal(platform.executions.get(id)?.ended, false);
});

const echo = {
  commands: {
    echo: async ({ stdout, read }: FakeProcessView) => {
      for (let line = await read(); line !== undefined; line = await read()) stdout(line);
      return { exitCode: 3 };
    },
  },
};

test("followProcess() gives a process's events over connections that keep breaking", async () => {
  const { platform, syla } = await start({ ...echo, cutAfter: 2 });
  const { id: sandbox } = await syla.sandbox.createSandbox({});
  const spec = { command: "echo", input: true };
  const { id } = await syla.process.startProcess({ sandbox, spec });
  const process = { sandbox, id };
  for (let n = 1; n <= 5; n += 1) {
    await syla.process.writeInput({ ...process, data: { case: "text", value: `${n} ` } });
  }
  await syla.process.writeInput({ ...process, end: true });
  const events = await Array.fromAsync(syla.followProcess(process, { retry }));
  assert.deepEqual(
    events.map(({ number }) => number),
    [1, 2, 3, 4, 5, 6, 7],
  );
  const last = events.at(-1)?.event;
  assert(last?.case === "ended");
  assert.equal(last.value.exitCode, 3);
  const rest = await Array.fromAsync(syla.followProcess(process, { after: 5, retry }));
  assert.deepEqual(
    rest.map(({ number }) => number),
    [6, 7],
  );
  assert.equal((await syla.sandbox.killSandbox({ id: sandbox })).endReason, "killed");
  assert.deepEqual(platform.sandboxes.calls, [`kill ${sandbox}`]);
});

test("followNewProcess() starts one process, however often the connection breaks", async () => {
  const { syla } = await start({
    cutAfter: 2,
    commands: { count: async ({ stdout }) => ["1 ", "2 ", "3 ", "4 "].forEach(stdout) },
  });
  const { id: sandbox } = await syla.sandbox.createSandbox({});
  const request = { sandbox, spec: { command: "count" } };
  const events = await Array.fromAsync(syla.followNewProcess(request, { retry }));
  assert.deepEqual(
    events.map(({ number }) => number),
    [1, 2, 3, 4, 5, 6],
  );
  assert.equal((await syla.process.listProcesses({ sandbox })).processes.length, 1);
  const refused = syla.followNewProcess({ sandbox, spec: { command: "none" } }, { retry });
  await assert.rejects(Array.fromAsync(refused), { code: "process_not_started" });
});

test("followProcess() does not try again what the platform refuses", async () => {
  const { syla } = await start({});
  const events = syla.followProcess({ sandbox: "0197b000-0000-7000-8000-000000000009", id: 1 });
  await assert.rejects(Array.fromAsync(events), { code: "sandbox_not_found" });
});
