import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type FakePlatform, startFakePlatform } from "@syla/sdk/fake-platform";
import { start, startOnTerminal, syla } from "./terminal/fixture.ts";

let platform: FakePlatform;
let env: Record<string, string>;
before(async () => {
  platform = await startFakePlatform({
    commands: {
      sh: async ({ stdout, read }) => {
        stdout("# ");
        for (let keys = await read(); keys !== undefined; keys = await read()) {
          if (keys.includes("\u0004")) return { exitCode: 6 };
          stdout(`<${keys}>`);
        }
        return {};
      },
      cat: async ({ stdout, read }) => {
        for (let text = await read(); text !== undefined; text = await read()) stdout(text);
        return { exitCode: 0 };
      },
      trap: async ({ stdout, signalled }) => {
        stdout("ready\n");
        stdout(`${await signalled}\n`);
        return { exitCode: 9 };
      },
    },
  });
  env = { SYLA_URL: platform.url };
});
after(() => platform.close());

function lastSandbox(): string {
  return [...platform.sandboxes.messages.keys()].at(-1) ?? "";
}

test("every key goes to the inside, which ends the shell and its sandbox", async () => {
  const terminal = startOnTerminal(["shell"], { env });
  await terminal.saw("# ");
  terminal.type("\u0003\u001A");
  await terminal.saw("<\u0003\u001A>");
  terminal.type("\u0004");
  const { code, clean } = await terminal.ended;
  assert.deepEqual([code, clean], [6, true]);
  assert.equal(platform.sandboxes.calls.at(-1), `kill ${lastSandbox()}`);
});

test("a platform that goes leaves a clean terminal and an exit code of its own", async () => {
  const lost = await startFakePlatform({
    commands: {
      editor: async ({ stdout, read }) => {
        stdout("\u001B[?1049heditor");
        await read();
      },
    },
  });
  const terminal = startOnTerminal(["shell", "--", "editor"], { env: { SYLA_URL: lost.url } });
  await terminal.saw("editor");
  await lost.close();
  const { code, clean, shown } = await terminal.ended;
  assert.deepEqual([code, clean], [125, true]);
  assert.match(shown, /\[\?1049l[^]*syla: Cannot reach Syla at http:/);
});

test("what is piped in is the process's input, and its exit code the command's", async () => {
  const { code, stdout } = await syla(["shell", "--", "cat"], { env, input: "Ada\n" });
  assert.deepEqual([code, stdout], [0, "Ada\n"]);
  assert.equal(platform.sandboxes.calls.at(-1), `kill ${lastSandbox()}`);
});

const id = "0197b000-0000-7000-8000-000000000001";
const mistakes: readonly (readonly [args: string[], message: RegExp])[] = [
  [["shell", id, "--memory", "1GiB"], /Cannot take --memory with SANDBOX: it is for a new one\./],
  [["shell", id, "--keep"], /Cannot take --keep with SANDBOX/],
  [["shell", "--process", "1"], /--process comes back to what runs in SANDBOX/],
  [["shell", id, "--process", "1"], /--process needs a terminal here/],
  [["shell", "--secret", "T=-"], /Cannot take a secret from standard input/],
  [["shell", "a", "b"], /The argument 'b' is not expected\./],
  [["sandbox", "exec", id], /There is no command to run: put it after '--'/],
  [["sandbox", "exec", "--", "ls"], /SANDBOX is missing\./],
  [["sandbox", "cp", "a", "b"], /One of FROM and TO must be in a sandbox/],
  [["sandbox", "url", "a"], /The file must be in a sandbox, written SANDBOX:PATH/],
  [["sandbox", "logs", id], /PROCESS is missing\./],
  [["sandbox", "lsit"], /There is no command 'lsit'\. Did you mean 'list'\?/],
  [["sandbox", "create", "--label", "x"], /Cannot read --label 'x': write KEY=VALUE\./],
];

for (const [args, message] of mistakes) {
  test(`'syla ${args.join(" ")}' is a mistake, told in one sentence`, async () => {
    const { code, stdout, stderr } = await syla(args, { env });
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, /^syla: [^\n]+\n$/);
    assert.match(stderr, message);
  });
}

test("every sandbox command has a page with an example", async () => {
  const { stdout } = await syla(["sandbox"]);
  const names = [...stdout.matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name = ""]) => name);
  assert.deepEqual(names, [
    ...["create", "list", "get", "exec", "cp", "url", "logs", "network", "port", "pause"],
    ...["resume", "snapshot", "fork", "kill"],
  ]);
  for (const name of names) {
    const page = await syla(["sandbox", name, "--help"]);
    assert.equal(page.code, 0);
    assert.match(page.stdout, new RegExp(`^syla sandbox ${name}[^]*Examples:\n  `));
  }
});

test("a signal goes to the process, whose exit code is the command's", async () => {
  const { stdout: made } = await syla(["sandbox", "create"], { env });
  const { child, saw, ended } = start(["sandbox", "exec", made.trim(), "--", "trap"], { env });
  await saw("ready\n");
  child.kill("SIGTERM");
  const { code, stdout } = await ended;
  assert.deepEqual([code, stdout], [9, "ready\nSIGTERM\n"]);
});
