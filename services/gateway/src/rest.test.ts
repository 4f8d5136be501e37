import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { startTestGateway } from "./gateway-fixture.ts";
import { handlersEnded, knownId, unknownId, until } from "./surface-fixture.ts";

const gateway = await startTestGateway({ bodyBytesMax: 64 * 1024 });
after(() => gateway.close());
const { url } = gateway;

function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

interface ProblemJson {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly requestId: string;
  readonly errors?: readonly { pointer: string; detail: string; rule: string }[];
}

async function parseProblem(response: Response): Promise<ProblemJson> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  return (await response.json()) as ProblemJson;
}

// Sends a request whose path fetch would tidy up; answers the status and the body.
function raw(method: string, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const request = httpRequest({ hostname, port, method, path }, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on("error", reject).end();
  });
}

test("GET answers the method's message with zero values, and the headers that follow and guard it", async () => {
  const response = await fetch(`${url}/api/v1/languages`, {
    headers: { "x-request-id": "mine-1" },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.equal(response.headers.get("x-request-id"), "mine-1");
  assert.match(response.headers.get("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  assert.match(response.headers.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
  const language = {
    name: "python",
    version: "3.11.2",
    aliases: [],
    extensions: [],
    compiled: false,
  };
  assert.deepEqual(await response.json(), { languages: [language] });
});

test("a call keeps the trace it came with, under a span of its own", async () => {
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const response = await fetch(`${url}/api/v1/languages`, { headers: { traceparent } });
  const answered = response.headers.get("traceparent") ?? "";
  assert.match(answered, /^00-a{32}-[0-9a-f]{16}-01$/);
  assert.ok(!answered.includes("b".repeat(16)));
});

test("a creating method answers 201 with the Location of what it made, and that answers it", async () => {
  const response = await post("/api/v1/executions", { language: "python", code: "print(1)" });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("location"), `/api/v1/executions/${knownId}`);
  const again = await fetch(url + (response.headers.get("location") ?? ""));
  assert.equal(again.status, 200);
});

test("a verb after a literal and one after a capture reach their methods", async () => {
  const executed = await post("/api/v1/executions:execute", { language: "python", code: "ran" });
  assert.equal(executed.status, 200);
  assert.match(await executed.text(), /"stdout":"ran"/);
  const cancelled = await post(`/api/v1/executions/${knownId}:cancel`, "");
  assert.equal(cancelled.status, 200);
  assert.match(await cancelled.text(), new RegExp(knownId));
});

test("HEAD answers GET's head and no body", async () => {
  const response = await fetch(`${url}/api/v1/languages`, { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-length"), "98");
  assert.equal(await response.text(), "");
});

test("an error of the handler is a problem with its code, place and request id", async () => {
  const response = await fetch(`${url}/api/v1/executions/${unknownId}?`);
  assert.equal(response.status, 404);
  const problem = await parseProblem(response);
  assert.equal(problem.code, "execution_not_found");
  assert.equal(problem.instance, `/api/v1/executions/${unknownId}`);
  assert.equal(problem.requestId, response.headers.get("x-request-id"));
});

test("a broken rule is told by its pointer into the body, also where the body is one field", async () => {
  const response = await post("/api/v1/executions:execute", { code: "x", limits: { pids: -1 } });
  assert.equal(response.status, 400);
  const { errors = [] } = await parseProblem(response);
  assert.deepEqual(errors.map(({ pointer }) => pointer).toSorted(), ["/language", "/limits/pids"]);
});

test("every wrong type and unknown field is told at once", async () => {
  const response = await post("/api/v1/executions", { language: 1, codee: "", args: [1, "b"] });
  const { code, errors = [] } = await parseProblem(response);
  assert.equal(code, "invalid_request");
  assert.deepEqual(
    errors.map(({ pointer, rule }) => `${pointer} ${rule}`),
    ["/language json.type", "/codee json.unknown_field", "/args/0 json.type"],
  );
});

test("a missing body of a method whose body is one field is told as missing", async () => {
  const { errors = [] } = await parseProblem(
    await fetch(`${url}/api/v1/executions`, { method: "POST" }),
  );
  assert.deepEqual(
    errors.map(({ pointer, rule }) => `${pointer}:${rule}`),
    [":required"],
  );
});

test("query parameters are read by type, and unknown, repeated and wrong ones are told", async () => {
  const good = await fetch(`${url}/api/v1/executions?pageSize=5&filter=a%3D1&page_token=x`);
  assert.equal(good.status, 200);
  const bad = await fetch(`${url}/api/v1/executions?pageSize=many&size=1&filter=a&filter=b`);
  const { errors = [] } = await parseProblem(bad);
  assert.deepEqual(
    errors.map(({ pointer, rule }) => `${pointer} ${rule}`),
    ["/size query.unknown_parameter", "/filter query.duplicate_parameter", "/pageSize json.type"],
  );
});

test("a path capture that breaks a rule is told by its field", async () => {
  const { errors = [] } = await parseProblem(await fetch(`${url}/api/v1/executions/not-a-uuid`));
  assert.deepEqual(
    errors.map(({ pointer, rule }) => [pointer, rule]),
    [["/id", "string.uuid"]],
  );
});

test("a capture of one segment with an encoded slash is refused", async () => {
  const { status, text } = await raw("GET", `/api/v1/executions/a%2Fb`);
  assert.equal(status, 400);
  assert.match(text, /encoded slash/);
});

test("an encoded colon belongs to the capture and is no verb", async () => {
  const { status, text } = await raw("POST", `/api/v1/executions/${knownId}%3Acancel`);
  assert.equal(status, 405);
  assert.match(text, /method_not_allowed/);
});

test("a body that contradicts the path is refused", async () => {
  const response = await post(`/api/v1/executions/${knownId}:cancel`, { id: unknownId });
  const { errors = [] } = await parseProblem(response);
  assert.deepEqual(
    errors.map(({ pointer, rule }) => [pointer, rule]),
    [["/id", "path.conflict"]],
  );
  assert.equal((await post(`/api/v1/executions/${knownId}:cancel`, { id: knownId })).status, 200);
});

test("a path that is there with another verb is 405 with Allow, and OPTIONS tells the same", async () => {
  const response = await fetch(`${url}/api/v1/executions/${knownId}:cancel`);
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "POST, OPTIONS");
  const deleted = await fetch(`${url}/api/v1/executions`, { method: "DELETE" });
  assert.equal(deleted.status, 405);
  assert.equal(deleted.headers.get("allow"), "POST, GET, HEAD, OPTIONS");
  const options = await fetch(`${url}/api/v1/executions`, { method: "OPTIONS" });
  assert.equal(options.status, 204);
  assert.equal(options.headers.get("allow"), "POST, GET, HEAD, OPTIONS");
});

test("what is not there is a 404 problem, methods of internal services among it", async () => {
  for (const path of [
    "/nothing",
    "/api/v1/executions/",
    "/api/v1/executions/a/b/c",
    "/api/v2/languages",
  ]) {
    const response = await fetch(url + path);
    assert.equal(response.status, 404, path);
    assert.equal((await parseProblem(response)).code, "route_not_found");
  }
  const { status } = await raw("GET", "/api/v1/executions/%zz");
  assert.equal(status, 400);
});

test("a body that is no JSON, no UTF-8 or another media type is refused with the reason", async () => {
  const path = "/api/v1/executions:execute";
  const broken = await parseProblem(await post(path, '{"language": '));
  assert.equal(broken.code, "invalid_json");
  const cut = await parseProblem(await post(path, '{"secrets": {"TOKEN": hidden}}'));
  assert.equal(cut.detail, "Cannot read the body as JSON: Unexpected token 'h'.");
  const twice = await parseProblem(await post(path, '{"language":"a","code":"","language":"b"}'));
  assert.equal(twice.code, "invalid_json");
  assert.match(twice.detail, /an object has the key "language" twice/);
  const latin = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: Buffer.from('{"code":"\xe9"}', "latin1"),
  });
  assert.match((await parseProblem(latin)).detail, /UTF-8/);
  const form = await post(path, "a=b", { "content-type": "application/x-www-form-urlencoded" });
  assert.equal(form.status, 415);
  assert.equal((await parseProblem(await post(path, "[]"))).errors?.[0]?.pointer, "");
  const charset = await post(
    path,
    { language: "python", code: "x" },
    { "content-type": "application/json; charset=utf-8" },
  );
  assert.equal(charset.status, 200);
});

test("a body over the bound is 413, by its length, by its bytes and by what it unpacks to", async () => {
  const path = "/api/v1/executions:execute";
  const large = { language: "python", code: "x".repeat(70_000) };
  assert.equal((await post(path, large)).status, 413);
  const chunked = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: new Blob([JSON.stringify(large)]).stream(),
    duplex: "half",
  });
  assert.equal((await parseProblem(chunked)).code, "payload_too_large");
  const bomb = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
    body: gzipSync("x".repeat(10_000_000)),
  });
  assert.equal(bomb.status, 413);
});

test("a packed body is unpacked, and a damaged one refused", async () => {
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  const send = (body: Uint8Array<ArrayBuffer>) =>
    fetch(`${url}/api/v1/executions:execute`, { method: "POST", headers, body });
  const good = await send(
    new Uint8Array(gzipSync(JSON.stringify({ language: "python", code: "packed" }))),
  );
  assert.match(await good.text(), /"stdout":"packed"/);
  assert.equal((await send(new Uint8Array([1, 2, 3]))).status, 400);
});

test("large answers are packed as the client accepts, small ones never", async () => {
  const code = "long ".repeat(1000);
  for (const [accept, encoding] of [
    ["br, gzip", "br"],
    ["gzip", "gzip"],
    ["br;q=0, gzip", "gzip"],
    ["identity", null],
  ] as const) {
    const response = await post(
      "/api/v1/executions:execute",
      { language: "python", code },
      { "accept-encoding": accept },
    );
    assert.equal(response.headers.get("content-encoding"), encoding, accept);
    assert.equal(response.headers.get("vary"), "Accept-Encoding");
    assert.ok((await response.text()).includes(code));
  }
  const small = await fetch(`${url}/api/v1/languages`, { headers: { "accept-encoding": "gzip" } });
  assert.equal(small.headers.get("content-encoding"), null);
});

test("a fault of ours tells nothing of itself", async () => {
  const response = await post("/api/v1/executions:execute", { language: "python", code: "crash" });
  assert.equal(response.status, 500);
  const text = await response.text();
  assert.ok(!text.includes("secret detail") && !text.includes(".ts"));
});

test("X-Request-Timeout ends the call in time, and an unreadable one is refused", async () => {
  const started = Date.now();
  const body = { language: "python", code: "hang" };
  const late = await post("/api/v1/executions:execute", body, { "x-request-timeout": "0.05" });
  assert.equal(late.status, 504);
  assert.ok(Date.now() - started < 5000);
  const grpcStyle = await post("/api/v1/executions:execute", body, { "grpc-timeout": "50m" });
  assert.equal(grpcStyle.status, 504);
  const bad = await post("/api/v1/executions:execute", body, { "x-request-timeout": "soon" });
  assert.equal((await parseProblem(bad)).errors?.[0]?.rule, "header.timeout");
  await handlersEnded(gateway.log);
});

test("a client that leaves ends its handler", async () => {
  const before = gateway.log.started;
  const controller = new AbortController();
  const call = fetch(`${url}/api/v1/executions:execute`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ language: "python", code: "hang" }),
    signal: controller.signal,
  });
  await until(() => gateway.log.started > before, "the handler began");
  controller.abort();
  await assert.rejects(call);
  await handlersEnded(gateway.log);
});
