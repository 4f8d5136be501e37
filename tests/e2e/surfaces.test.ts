// The smaller surfaces: gRPC-Web and Connect by plain fetch, the REPL endpoints of the original design, and the pages
// for those who run the platform or read about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { post, python, refusal } from "../api.ts";
import { readSentEvents } from "../streams.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const service = "/syla.execution.v1.ExecutionService";
const spec = { language: "bash", code: "echo out; echo err >&2" };

type Json = Readonly<Record<string, unknown>>;

function parseJson(json: unknown): Json {
  return json as Json;
}

/** The messages of an enveloped stream (a flag, four bytes of length, the message), and the flag of each. */
async function readEnvelopes(response: Response): Promise<{ flag: number; body: Buffer }[]> {
  const bytes = Buffer.from(await response.arrayBuffer());
  const found: { flag: number; body: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    found.push({ flag: bytes.readUInt8(at), body: bytes.subarray(at + 5, end) });
    at = end;
  }
  return found;
}

function envelope(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

test("Connect: a unary call is a POST of JSON, and an error is JSON with its code", async () => {
  const headers = { "Connect-Protocol-Version": "1" };
  const response = await post(platform(), `${service}/Execute`, { spec }, { headers });
  assert.equal(response.status, 200);
  const { status, stdout, stderr } = parseJson(await response.json());
  assert.deepEqual([status, stdout, stderr], ["SUCCEEDED", "out\n", "err\n"]);
  const wrong = await post(platform(), `${service}/Execute`, { spec: { code: "x" } }, { headers });
  assert.equal(wrong.status, 400);
  assert.equal(parseJson(await wrong.json())["code"], "invalid_argument");
});

test("Connect: a read can be a GET", async () => {
  const query = new URLSearchParams({ connect: "v1", encoding: "json", message: "{}" });
  const response = await fetch(`${platform().url}${service}/ListLanguages?${query.toString()}`);
  assert.equal(response.status, 200);
  assert.match(await response.text(), /"python"/);
});

test("Connect: a stream is enveloped messages and an end", async () => {
  const response = await fetch(`${platform().url}${service}/ExecuteStream`, {
    method: "POST",
    headers: { "Content-Type": "application/connect+json" },
    body: envelope(Buffer.from(JSON.stringify({ spec }))),
  });
  assert.equal(response.status, 200);
  const envelopes = await readEnvelopes(response);
  assert.equal(envelopes.at(-1)?.flag, 2);
  const messages = envelopes.slice(0, -1).map(({ body }) => parseJson(JSON.parse(body.toString())));
  assert.deepEqual(
    messages.map(({ number }) => number),
    messages.map((_, index) => index + 1),
  );
  assert.ok(messages.at(-1)?.["finished"]);
});

test("gRPC-Web: a call is an enveloped message and trailers in the body", async () => {
  // GetExecutionRequest {id: "00000000-0000-7000-8000-000000000000"}: field 1, a string of 36 bytes.
  const id = "00000000-0000-7000-8000-000000000000";
  const absent = Buffer.concat([Buffer.from([0x0a, id.length]), Buffer.from(id)]);
  const ask = (method: string, message: Uint8Array) =>
    fetch(`${platform().url}${service}/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1" },
      body: envelope(message),
    });
  const languages = await readEnvelopes(await ask("ListLanguages", Buffer.alloc(0)));
  assert.deepEqual(
    languages.map(({ flag }) => flag),
    [0, 0x80],
  );
  assert.ok(languages[0]?.body.includes("python"));
  assert.match(languages[1]?.body.toString() ?? "", /grpc-status: ?0/);
  const response = await ask("GetExecution", absent);
  const trailers = (await readEnvelopes(response)).at(-1)?.body.toString() ?? "";
  assert.match(`${trailers}grpc-status:${response.headers.get("grpc-status")}`, /grpc-status: ?5/);
});

test("what is internal cannot be called on any path", async () => {
  for (const method of ["Run", "GetHost", "ListLanguages"]) {
    const response = await post(platform(), `/syla.sandbox.v1.RunnerService/${method}`, {});
    await refusal(response, 404, "route_not_found");
  }
});

test("the REPL lists names of languages", async () => {
  const response = await fetch(`${platform().url}/api/repl/languages`);
  const { languages, ...rest } = parseJson(await response.json());
  assert.deepEqual(rest, {});
  assert.ok(Array.isArray(languages));
  for (const name of ["python", "javascript", "bash"]) assert.ok(languages.includes(name), name);
  assert.equal(new Set(languages).size, languages.length);
});

test("the REPL runs a piece of code and answers what it wrote and whether it went well", async () => {
  const run = async (code: string): Promise<Json> => {
    const response = await post(platform(), "/api/repl/execute", { language: "python", code });
    assert.equal(response.status, 200);
    return parseJson(await response.json());
  };
  assert.deepEqual(await run("print(6 * 7)"), { result: "42\n", success: true });
  const failed = await run("print('before', flush=True); 1 / 0");
  assert.equal(failed["success"], false);
  assert.match(String(failed["result"]), /^before\nTraceback[^]*ZeroDivisionError/);
  for (const [code, pattern] of [
    ["import os; os._exit(3)", /^$/],
    ["import os; os.kill(os.getpid(), 11)", /^ERROR: /],
    ["import sys; sys.stdout = None; print('x')", /^$/],
  ] as const) {
    assert.match(String((await run(code))["result"]), pattern);
  }
});

test("the REPL refuses what it does not know, and names what it knows", async () => {
  const body = { language: "cobol", code: "x" };
  const problem = await refusal(
    await post(platform(), "/api/repl/execute", body),
    400,
    "unknown_language",
  );
  assert.deepEqual(
    problem.errors?.map(({ pointer }) => pointer),
    ["/language"],
  );
  assert.match(problem.detail, /python/);
  const empty = await post(platform(), "/api/repl/execute", { language: "python", code: "" });
  assert.deepEqual(
    (await refusal(empty, 400, "invalid_request")).errors?.map(({ pointer }) => pointer),
    ["/code"],
  );
});

test("the REPL streams what is written, an error as ERROR:, and then says done", async () => {
  const stream = async (code: string) => {
    const response = await post(platform(), "/api/repl/execute/stream", {
      language: "python",
      code,
    });
    return Array.fromAsync(readSentEvents(response));
  };
  const good = await stream("print('one'); print('two\\n\\nthree')");
  assert.equal(good.at(-1)?.event, "done");
  assert.equal(
    good
      .slice(0, -1)
      .map(({ data }) => data)
      .join(""),
    "one\ntwo\n\nthree\n",
  );
  const bad = await stream("print('before', flush=True); raise SystemExit(3)");
  assert.equal(bad.at(-1)?.event, "done");
  assert.match(bad.at(-2)?.data ?? "", /^ERROR: .*3/);
});

test("health, readiness and metrics are told", async () => {
  await python(platform(), "print(1)");
  const health = await fetch(`${platform().url}/health`);
  assert.deepEqual([health.status, parseJson(await health.json())["status"]], [200, "ok"]);
  const ready = await fetch(`${platform().url}/ready`);
  assert.deepEqual([ready.status, parseJson(await ready.json())["status"]], [200, "ready"]);
  const metrics = await fetch(`${platform().url}/metrics`);
  assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
  const text = await metrics.text();
  for (const name of ["syla_executions_running", "syla_executions_waiting"]) {
    assert.match(text, new RegExp(`^${name} \\d+$`, "m"));
  }
});

test("the description of the API is valid OpenAPI 3.1 and describes every REST path, with examples", async () => {
  const response = await fetch(`${platform().url}/openapi.json`);
  assert.equal(response.headers.get("content-type"), "application/json");
  const document = parseJson(await response.json());
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors ?? "").slice(0, 2000));
  assert.match(String(document["openapi"]), /^3\.1/);
  const paths = Object.keys(parseJson(document["paths"]));
  for (const path of [
    ...["/api/v1/executions", "/api/v1/executions:execute", "/api/v1/executions:stream"],
    ...[
      "/api/v1/executions/{id}",
      "/api/v1/executions/{id}:cancel",
      "/api/v1/executions/{id}/events",
    ],
    ...[
      "/api/v1/languages",
      "/api/repl/languages",
      "/api/repl/execute",
      "/api/repl/execute/stream",
    ],
  ]) {
    assert.ok(paths.includes(path), `${path} is described`);
  }
  assert.match(JSON.stringify(document), /print\(6 \* 7\)/);
});

test("the documentation loads whole, from here alone", async () => {
  const home = await fetch(`${platform().url}/`, { redirect: "manual" });
  assert.deepEqual([home.status, home.headers.get("location")], [302, "/docs"]);
  const page = await fetch(`${platform().url}/docs`);
  assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /https?:|\*/);
  const html = await page.text();
  const assets = [...html.matchAll(/(?:src|href|data-url)="([^"]+)"/g)].map(([, url]) => url ?? "");
  const local = assets.filter((url) => !url.startsWith("data:"));
  assert.ok(local.length >= 2);
  for (const url of local) {
    assert.match(url, /^\/(?!\/)/, `${url} is not here`);
    const asset = await fetch(`${platform().url}${url}`);
    assert.equal(asset.status, 200, url);
    assert.ok((await asset.text()).length > 100, url);
  }
});

test("pages are packed for who accepts it, and not sent again to who has them", async () => {
  const first = await fetch(`${platform().url}/openapi.json`, {
    headers: { "Accept-Encoding": "gzip" },
  });
  assert.equal(first.headers.get("content-encoding"), "gzip");
  await first.body?.cancel();
  const etag = first.headers.get("etag") ?? "";
  const again = await fetch(`${platform().url}/openapi.json`, {
    headers: { "If-None-Match": etag },
  });
  assert.equal(again.status, 304);
});

test("pages of other origins cannot call from a browser", async () => {
  const headers = { Origin: "https://evil.example", "Access-Control-Request-Method": "POST" };
  const response = await fetch(`${platform().url}/api/v1/executions`, {
    method: "OPTIONS",
    headers,
  });
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  const answer = await fetch(`${platform().url}/api/v1/executions`, { headers });
  assert.equal(answer.headers.get("access-control-allow-origin"), null);
});
