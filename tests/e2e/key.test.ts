// A platform that asks for its key: on every surface, of everything but health; and one on every address, which always
// does. The SDK and the command bring it by themselves.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { Health } from "@syla/contract/grpc/health/v1/health";
import { Port_Access } from "@syla/contract/syla/sandbox/v1/port";
import { PresignFileRequest_Operation } from "@syla/contract/syla/sandbox/v1/transfer";
import { CallContext } from "@syla/kit/call";
import { createClient } from "@syla/kit/client";
import { connectGrpc } from "@syla/kit/grpc-client";
import { createSyla } from "@syla/sdk";
import { Sandbox as E2bSandbox } from "e2b";
import { WebSocket } from "ws";
import { once } from "node:events";
import { pointAt } from "../e2b-sdk.ts";
import { keyOf, send } from "../port-visits.ts";
import { type Platform, startPlatform } from "../platform.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({ environment: { SYLA_SERVER_REQUIRE_KEY: "true" } });
const cli = fileURLToPath(new URL("../../cli/src/main.ts", import.meta.url));
const program = { language: "bash", code: "echo ran" };
const json = { "Content-Type": "application/json" };

interface Way {
  readonly method?: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
}

/** Every surface that answers a plain request, with a call of its own. */
const ways: readonly Way[] = [
  { path: "/api/v1/sandboxes" },
  { method: "POST", path: "/api/v1/executions:execute", body: program },
  { method: "POST", path: "/api/v1/executions:stream", body: program },
  { method: "POST", path: "/syla.sandbox.v1.SandboxService/ListSandboxes", body: {} },
  {
    method: "POST",
    path: "/graphql",
    body: { query: "{ sandbox_listSandboxes { nextPageToken } }" },
  },
  { path: "/api/v2/runtimes" },
  { path: "/languages" },
  { path: "/metrics" },
];

function call({ method = "GET", path, body }: Way, headers = {}) {
  const given = body === undefined ? {} : { ...json };
  const bytes = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) };
  return send(platform(), path, { method, headers: { ...given, ...headers }, ...bytes });
}

test("every surface refuses who does not bring the key, and answers who does", async () => {
  const key = keyOf(platform());
  const other = `syla_${"0".repeat(64)}`;
  for (const way of ways) {
    for (const headers of [{}, { Authorization: `Bearer ${other}` }, { "X-API-Key": "" }]) {
      const { text, status } = await call(way, headers);
      // GraphQL's and a stream's answers have their errors in them.
      assert.match(text, /unauthenticated|API key/i, `${way.path} ${status} ${text.slice(0, 300)}`);
      assert.doesNotMatch(text, /echo|ran\\n|nextPageToken":/, way.path);
    }
    for (const headers of [{ Authorization: `Bearer ${key}` }, { "X-API-Key": key }]) {
      const { text, status } = await call(way, headers);
      assert.equal(status, 200, `${way.path} ${text}`);
      assert.doesNotMatch(text, /"code": ?"unauthenticated"/, way.path);
    }
  }
});

test("of who does not bring the key no large body is read, packed or not", async () => {
  const body = Buffer.from(`[${"{},".repeat(1_300_000)}{}]`);
  const packed = gzipSync(body);
  assert.ok(packed.length < 16_384);
  const paths = ["/api/v1/executions:execute", "/graphql", "/mcp", "/api/v2/execute"];
  for (const path of [...paths, "/syla.execution.v1.ExecutionService/Execute"]) {
    for (const [sent, encoding] of [
      [body, "identity"],
      [packed, "gzip"],
    ] as const) {
      const headers = { ...json, "Content-Encoding": encoding };
      const { text, status } = await send(platform(), path, {
        method: "POST",
        headers,
        body: sent,
      });
      assert.match(text, /API key/, `${path} ${encoding} ${status} ${text.slice(0, 300)}`);
    }
  }
});

test("MCP's tools are the key's, and a presigned address needs none", async () => {
  const headers = { ...json, Accept: "application/json, text/event-stream" };
  const tool = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "list_languages" } };
  const body = Buffer.from(JSON.stringify(tool));
  const refused = await send(platform(), "/mcp", { method: "POST", headers, body });
  assert.equal(refused.status, 401, refused.text);
  const { url } = platform();
  const syla = createSyla({ url, token: keyOf(platform()) });
  const { id } = await syla.sandbox.createSandbox({});
  const operation = PresignFileRequest_Operation.WRITE;
  const address = await syla.file.presignFile({ sandbox: id, path: "given.txt", operation });
  const put = await fetch(new URL(address.url, url), { method: "PUT", body: "by the address" });
  assert.equal(put.status, 200, await put.text());
  await syla.sandbox.killSandbox({ id });
});

test("what tells how the platform is, and what it is, is for everybody", async () => {
  for (const path of ["/health", "/ready", "/docs", "/openapi.json"]) {
    assert.equal((await send(platform(), path)).status, 200, path);
  }
});

test("what Judge0's API tells of the host and of submissions is the key's, also when it was told before", async () => {
  for (const path of ["/statistics", "/system_info", "/config_info", "/workers"]) {
    const headers = { "X-Auth-Token": keyOf(platform()) };
    assert.equal((await send(platform(), path, { headers })).status, 200, path);
    assert.equal((await send(platform(), path)).status, 401, path);
  }
});

test("gRPC refuses and answers the same, health but for", async () => {
  const { grpcAddress } = platform();
  const connection = connectGrpc([ExecutionService, Health], { address: grpcAddress });
  try {
    const executions = createClient(ExecutionService, connection);
    await assert.rejects(executions.execute({ spec: program }), { code: "unauthenticated" });
    const stream = executions.executeStream({ spec: program })[Symbol.asyncIterator]();
    await assert.rejects(stream.next(), { code: "unauthenticated" });
    const bearer = `Bearer ${keyOf(platform())}`;
    const headers = { get: (name: string) => (name === "authorization" ? bearer : undefined) };
    const parent = new CallContext({ headers });
    const ran = await executions.execute({ spec: program }, { parent });
    assert.equal(ran.stdout, "ran\n");
    assert.equal((await createClient(Health, connection).check({})).status, 1);
  } finally {
    connection.close();
  }
});

test("a port that is public needs no key, and every other does", async () => {
  const { url } = platform();
  const syla = createSyla({ url, token: keyOf(platform()) });
  const { id } = await syla.sandbox.createSandbox({});
  const status = async () => (await send(platform(), `/s/${id}/9/`)).status;
  assert.equal(await status(), 401);
  await syla.port.exposePort({ sandbox: id, port: 9, access: Port_Access.PUBLIC });
  assert.equal(await status(), 502);
  const path = `/api/v1/sandboxes/${id}/ports/9`;
  assert.equal((await send(platform(), path)).status, 401);
});

test("a WebSocket's calls are refused and answered the same", async () => {
  const url = `${platform().url.replace("http", "ws")}/ws`;
  const ask = async (headers: Record<string, string>) => {
    const socket = new WebSocket(url, { headers });
    await once(socket, "open");
    const method = "syla.execution.v1.ExecutionService/Execute";
    socket.send(JSON.stringify({ id: "1", method, request: { spec: program } }));
    const [data] = await once(socket, "message");
    socket.terminate();
    return String(data);
  };
  assert.match(await ask({}), /unauthenticated/);
  assert.match(await ask({ "X-API-Key": keyOf(platform()) }), /ran\\n/);
});

test("the SDK, the command and E2B's SDK bring the key", async () => {
  const { url, data } = platform();
  const stranger = createSyla({ url });
  await assert.rejects(stranger.sandbox.createSandbox({}), { code: "unauthenticated" });
  const syla = createSyla({ url, token: keyOf(platform()) });
  const { id } = await syla.sandbox.createSandbox({});
  const run = async (args: string[], environment: Record<string, string>) => {
    const env = { PATH: process.env["PATH"], ...environment };
    return (await promisify(execFile)(process.execPath, [cli, ...args], { env })).stdout;
  };
  assert.match(await run(["sandbox", "get", id], { SYLA_DATA: data }), new RegExp(id));
  const named = { SYLA_URL: url, SYLA_TOKEN: keyOf(platform()) };
  assert.match(await run(["sandbox", "get", id], named), new RegExp(id));
  await assert.rejects(run(["sandbox", "get", id], { SYLA_URL: url }), /API key/);
  pointAt(platform());
  const sandbox = await E2bSandbox.create();
  assert.equal((await sandbox.commands.run("echo ran")).stdout, "ran\n");
  await sandbox.files.write("a.txt", "there");
  const address = await sandbox.downloadUrl("a.txt");
  assert.equal(await (await fetch(address)).text(), "there");
  await sandbox.kill();
});

test("the command prints the address of a port: for an hour, by token, to everybody, and back", async () => {
  const { url, data } = platform();
  const syla = createSyla({ url, token: keyOf(platform()) });
  const { id } = await syla.sandbox.createSandbox({});
  const port = async (...flags: string[]) => {
    const env = { PATH: process.env["PATH"], SYLA_DATA: data };
    const args = [cli, "sandbox", "port", id, "8000", ...flags];
    return (await promisify(execFile)(process.execPath, args, { env })).stdout.trim();
  };
  const prefix = `http://8000-${id}.localhost:${new URL(url).port}/`;
  const byPath = `${url}/s/${id}/8000/`;
  assert.ok((await port()).startsWith(`${prefix}?syla_ticket=`));
  assert.ok((await port("--path")).startsWith(`${byPath}?syla_ticket=`));
  const byToken = await port("--token");
  assert.match(byToken.slice(prefix.length), /^\?syla_token=[0-9a-f]{64}$/);
  assert.equal(await port("--public"), prefix);
  assert.equal(await port("--public", "--path"), byPath);
  assert.equal(JSON.parse(await port("--close", "--json")).access, "PRIVATE");
  await assert.rejects(port("--public", "--token"), /exclude one another/);
});

test("a platform beyond loopback asks for the key without being told to", async () => {
  const open = await startPlatform({ environment: { SERVER_HOST: "0.0.0.0" } });
  try {
    const here: Platform = { ...open, url: open.url.replace("0.0.0.0", "127.0.0.1") };
    assert.equal((await send(here, "/api/v1/sandboxes")).status, 401);
    const headers = { "X-API-Key": keyOf(here) };
    assert.equal((await send(here, "/api/v1/sandboxes", { headers })).status, 200);
    const env = { PATH: process.env["PATH"], SYLA_DATA: open.data };
    const { stdout } = await promisify(execFile)(process.execPath, [cli, "sandbox", "list"], {
      env,
    });
    assert.equal(typeof stdout, "string");
  } finally {
    assert.equal(await open.stop(), 0, open.log());
  }
});

test("a kernel's WebSocket is refused who brings no token", async () => {
  const url = `${platform().url.replace("http", "ws")}/jupyter/api/kernels/${randomUUID()}/channels`;
  assert.match(String(await once(new WebSocket(url), "error")), /403/);
  const known = new WebSocket(`${url}?token=${keyOf(platform())}`);
  await once(known, "open");
  known.terminate();
});
