// Tools for language models by the protocol's official client, against the whole platform: over HTTP, and over standard
// input and output of `syla mcp`. The client holds every structured answer against the tool's own schema.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { freshFolder, syla } from "../../cli/src/terminal/fixture.ts";
import { list, post } from "../api.ts";
import { connectHttp, connectStdio, textOf, use, useWell } from "../mcp-sdk.ts";
import { getSandbox } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

interface Made {
  readonly id: string;
}

const platform = sharedPlatform();
const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const transports: Readonly<Record<string, () => Promise<Client>>> = {
  "streamable HTTP": () => connectHttp(platform()),
  "standard input and output": () => connectStdio({ SYLA_URL: platform().url }),
};

for (const [name, connect] of Object.entries(transports)) {
  describe(`over ${name}`, () => {
    let client: Client;
    before(async () => {
      client = await connect();
    });
    after(() => client.close());

    test("the handshake tells who is there, and how to use it", async () => {
      assert.equal(client.getServerVersion()?.name, "syla");
      assert.deepEqual(client.getServerCapabilities(), { tools: {} });
      assert.match(client.getInstructions() ?? "", /create_sandbox/);
      await client.ping();
    });

    test("a program runs, and its failure is an answer", async () => {
      const code = "print(6 * 7); print('beside', file=__import__('sys').stderr)";
      const well = await use(client, "run_code", { language: "python", code });
      assert.equal(well.isError, undefined);
      assert.deepEqual(
        well.content.map(({ text }) => text),
        ["42\n", "stderr:\nbeside\n", "status: SUCCEEDED\nexitCode: 0"],
      );
      assert.equal(well.structuredContent?.["stdout"], "42\n");
      const failed = await use(client, "run_code", { language: "bash", code: "echo no; exit 3" });
      assert.equal(failed.isError, undefined);
      assert.match(textOf(failed), /^no\n\nstatus: FAILED\nexitCode: 3\nerrorType: exit_code/);
    });

    test("what a program prints is told while it runs", async () => {
      const told: string[] = [];
      const code = "import time\nprint('first', flush=True); time.sleep(1.5); print('last')";
      const onprogress = ({ message = "" }) => void told.push(message);
      const result = await use(client, "run_code", { language: "python", code }, { onprogress });
      assert.match(told[0] ?? "", /^first\n?$/);
      // The client drops what comes together with the answer.
      assert.ok("first\nlast\n".startsWith(told.join("")), told.join(""));
      assert.match(textOf(result), /^first\nlast\n/);
    });

    test("an image comes as one, other files as text or attached", async () => {
      const code = `import base64
open('dot.png', 'wb').write(base64.b64decode('${pixel}'))
open('rows.csv', 'w').write('a,b\\n1,2\\n')
open('raw.bin', 'wb').write(bytes([0, 255, 1]))`;
      const artifacts = ["dot.png", "rows.csv", "raw.bin", "none.txt"];
      const { content, structuredContent } = await use(client, "run_code", {
        ...{ language: "python", code, artifacts },
      });
      const [facts, image, csv, raw] = content;
      assert.match(facts?.text ?? "", /- name: none\.txt, error: not_found/);
      assert.deepEqual(image, { type: "image", data: pixel, mimeType: "image/png" });
      assert.equal(csv?.text, "rows.csv:\na,b\n1,2\n");
      assert.deepEqual(raw?.resource, {
        ...{ uri: "syla:raw.bin", mimeType: "application/octet-stream", blob: "AP8B" },
      });
      assert.doesNotMatch(JSON.stringify(structuredContent), /base64/i);
    });

    test("files and processes live in one sandbox", () => sandboxWork(client));

    test("a call that is cancelled ends its program", async () => {
      const marker = `cancelled-${name}`.replaceAll(" ", "-");
      const stop = new AbortController();
      const begun = Promise.withResolvers<void>();
      const run = use(
        client,
        "run_code",
        { language: "bash", code: `echo ${marker}; sleep 600` },
        { signal: stop.signal, onprogress: () => begun.resolve() },
      );
      await Promise.race([begun.promise, run]);
      stop.abort();
      await assert.rejects(run, /abort/i);
      await eventually("the run is cancelled", async () => {
        const { executions } = await list(platform(), { filter: 'status = "CANCELLED"' });
        return executions.length >= (name === "streamable HTTP" ? 1 : 2);
      });
      assert.match(textOf(await use(client, "list_languages")), /name: python/);
    });

    test("what is wrong is told where it is wrong", async () => {
      await assert.rejects(use(client, "run_cod"), /-32602.*no tool "run_cod".*run_code/);
      const wrong = await use(client, "run_code", { language: 7, code: "1", colour: "red" });
      assert.equal(wrong.isError, true);
      assert.match(textOf(wrong), /language: expected a string.*colour: is not a field/);
      const empty = await use(client, "run_code", { code: "1" });
      assert.match(textOf(empty), /^Wrong arguments\. language: .*\(invalid_request\)$/);
      const hidden = await use(client, "run_code", {
        ...{ language: "bash", code: "true", secrets: { KEY: "v" } },
      });
      assert.match(textOf(hidden), /secrets: is not an argument/);
      const path = await use(client, "write_files", {
        sandbox: "01890a5d-ac96-774b-bcce-000000000000",
        files: [{ path: "", content: "x" }],
      });
      assert.match(textOf(path), /files\.0\.path: /);
      const none = await use(client, "list_files", {
        sandbox: "01890a5d-ac96-774b-bcce-000000000000",
      });
      assert.equal(none.isError, true);
      assert.match(textOf(none), /\(sandbox_not_found\)$/);
    });
  });
}

async function sandboxWork(client: Client): Promise<void> {
  const { id: sandbox } = await useWell<Made>(client, "create_sandbox", { language: "python" });
  const files = [{ path: "lib/words.py", content: "words = ['a', 'b']\n" }];
  await useWell(client, "write_files", { sandbox, files });
  const ran = await use(client, "run_process", {
    ...{ sandbox, command: "python3", args: ["-c", "import lib.words as w; print(w.words)"] },
  });
  assert.match(textOf(ran), /^\['a', 'b'\]\n\nid: 1\ncommand: python3\n.*\nexitCode: 0$/s);
  await useWell(client, "make_directory", { sandbox, path: "out" });
  await useWell(client, "move_file", { sandbox, path: "lib/words.py", newPath: "out/w.py" });
  assert.match(textOf(await use(client, "list_files", { sandbox, path: "out" })), /out\/w\.py/);
  const read = await use(client, "read_file", { sandbox, path: "out/w.py" });
  assert.equal(read.content[0]?.text, "words = ['a', 'b']\n");
  await useWell(client, "remove_file", { sandbox, path: "out" });
  const gone = await use(client, "read_file", { sandbox, path: "out/w.py" });
  assert.deepEqual([gone.isError, textOf(gone).includes("file_not_found")], [true, true]);
  await talkToProcess(client, sandbox);
  await useWell(client, "extend_sandbox", { id: sandbox, lifetime: "60s" });
  assert.match(textOf(await use(client, "list_sandboxes")), new RegExp(sandbox));
  await useWell(client, "kill_sandbox", { id: sandbox });
  assert.equal((await getSandbox(platform(), sandbox)).status, "ENDED");
}

interface Printed {
  readonly stdout: string;
  readonly lastEvent: number;
  readonly process: { readonly running: boolean; readonly signal?: string };
}

async function talkToProcess(client: Client, sandbox: string): Promise<void> {
  const { id } = await useWell<Made>(client, "start_process", {
    ...{ sandbox, command: "cat", input: true },
  });
  await useWell(client, "write_process_input", { sandbox, id, text: "one\n" });
  const read = (seen: number) => {
    const args = { sandbox, id, after: seen, wait: "1s" };
    return useWell<Printed>(client, "get_process_output", args);
  };
  const first = await read(0);
  assert.deepEqual([first.stdout, first.process.running], ["one\n", true]);
  await useWell(client, "signal_process", { sandbox, id, signal: "SIGKILL" });
  const last = await read(first.lastEvent);
  assert.deepEqual([last.stdout, last.process.signal], ["", "SIGKILL"]);
  assert.match(textOf(await use(client, "list_processes", { sandbox })), /command: cat/);
}

test("two clients that use the same ids do not get each other's answers, nor cancel them", async () => {
  const [one, two] = await Promise.all([connectHttp(platform()), connectHttp(platform())]);
  const stop = new AbortController();
  const begun = Promise.withResolvers<void>();
  const cancelled = use(
    one,
    "run_code",
    { language: "bash", code: "echo one; sleep 600" },
    { signal: stop.signal, onprogress: () => begun.resolve() },
  );
  const kept = use(two, "run_code", { language: "bash", code: "sleep 2; echo two" });
  await begun.promise;
  stop.abort();
  await assert.rejects(cancelled);
  assert.match(textOf(await kept), /^two\n/);
  await Promise.all([one.close(), two.close()]);
});

test("a page of another origin is refused", async () => {
  const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
  const from = (origin: string) => post(platform(), "/mcp", ping, { headers: { Origin: origin } });
  assert.equal((await from("https://evil.example")).status, 403);
  assert.equal((await from("null")).status, 403);
  assert.equal((await from(platform().url)).status, 200);
});

test("`syla mcp` starts a platform where none runs, and ends it", async () => {
  const data = freshFolder();
  const client = await connectStdio({ SYLA_DATA: data, LOG_LEVEL: "warn" });
  const answer = await use(client, "run_code", { language: "bash", code: "echo embedded" });
  assert.match(textOf(answer), /^embedded\n/);
  await client.close();
});

test("`syla mcp` writes nothing but answers, and ends with its standard input", async () => {
  const input = `not JSON\n\n${JSON.stringify({ jsonrpc: "2.0", method: "notifications/none" })}\n`;
  const { code, stdout, stderr } = await syla(["mcp"], {
    env: { SYLA_URL: platform().url },
    input,
  });
  assert.deepEqual([code, stderr], [0, ""]);
  const error = { code: -32_700, message: "It is not JSON." };
  assert.equal(stdout, `${JSON.stringify({ jsonrpc: "2.0", id: null, error })}\n`);
});

test("the guide's table has every tool, and no other", async () => {
  const client = await connectHttp(platform());
  const guide = fileURLToPath(new URL("../../docs/guides/mcp.md", import.meta.url));
  const rows = readFileSync(guide, "utf8").matchAll(/^\| `(\w+)` \|/gm);
  const { tools } = await client.listTools();
  assert.deepEqual(
    new Set([...rows].map(([, tool]) => tool)),
    new Set(tools.map(({ name }) => name)),
  );
  await client.close();
});
