// Requests that are wrong: each is refused with what is wrong, where it is, and nothing is run.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { list, pointers, post, refusal } from "../api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const path = "/api/v1/executions:execute";
const fine = { language: "bash", code: "echo" };

const invalid: Readonly<Record<string, readonly [spec: unknown, pointers: readonly string[]]>> = {
  "no language": [{ code: "x" }, ["/language"]],
  "an empty language": [{ language: "", code: "x" }, ["/language"]],
  "a language that is a number": [{ language: 5, code: "x" }, ["/language"]],
  "a long language": [{ language: "x".repeat(65), code: "x" }, ["/language"]],
  "code that is an object": [{ language: "bash", code: {} }, ["/code"]],
  "an unknown field": [{ ...fine, colour: "red" }, ["/colour"]],
  "an unknown field within": [{ ...fine, limits: { speed: 9 } }, ["/limits/speed"]],
  "a field twice, by two names": [
    { ...fine, limits: { wallTime: "1s", wall_time: "2s" } },
    ["/limits/wall_time"],
  ],
  "files that are an object": [{ language: "bash", files: {} }, ["/files"]],
  "a file without a name": [{ language: "bash", files: [{ content: "x" }] }, ["/files/0/name"]],
  "a file with two bodies": [
    { language: "bash", files: [{ name: "a", content: "x", contentBase64: "eA==" }] },
    ["/files/0/contentBase64"],
  ],
  "bytes that are not base64": [
    { language: "bash", files: [{ name: "a", contentBase64: "***" }] },
    ["/files/0/contentBase64"],
  ],
  "arguments that are a string": [{ ...fine, args: "x" }, ["/args"]],
  "an argument that is null": [{ ...fine, args: ["a", null] }, ["/args/1"]],
  "an argument with a NUL": [{ ...fine, args: ["a", "b\0c"] }, ["/args/1"]],
  "a label with a NUL": [{ ...fine, metadata: { team: "a\0b" } }, ["/metadata/team"]],
  "too many arguments": [{ ...fine, args: Array.from({ length: 257 }, () => "") }, ["/args"]],
  "an environment that is a list": [{ ...fine, env: [] }, ["/env"]],
  "a variable that is a number": [{ ...fine, env: { A: 1 } }, ["/env/A"]],
  "a variable with a slash in its name": [{ ...fine, env: { "a/b~c": "x" } }, ["/env/a~1b~0c"]],
  "secrets that are a list": [{ ...fine, secrets: [] }, ["/secrets"]],
  "a secret that is a number": [{ ...fine, secrets: { A: 1 } }, ["/secrets/A"]],
  "a secret with a NUL": [{ ...fine, secrets: { A: "a\0b" } }, ["/secrets/A"]],
  "a secret with a dash in its name": [{ ...fine, secrets: { "A-B": "x" } }, ["/secrets/A-B"]],
  "too many secrets": [
    { ...fine, secrets: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`A${n}`, ""])) },
    ["/secrets"],
  ],
  "secrets of more bytes than are kept": [
    { ...fine, secrets: { A: "x".repeat(40_000), B: "x".repeat(40_000) } },
    ["/secrets"],
  ],
  "a name in both env and secrets": [
    { ...fine, env: { A: "1", B: "2" }, secrets: { A: "x", C: "y" } },
    ["/secrets/A"],
  ],
  "a secret too short to be masked": [
    { ...fine, secrets: { A: "abc", B: "abcd" }, maskSecrets: true },
    ["/secrets/A"],
  ],
  "a wall time that is a number": [{ ...fine, limits: { wallTime: 5 } }, ["/limits/wallTime"]],
  "a wall time without a unit": [{ ...fine, limits: { wallTime: "5" } }, ["/limits/wallTime"]],
  "a wall time of nothing": [{ ...fine, limits: { wallTime: "0s" } }, ["/limits/wallTime"]],
  "a wall time below nothing": [{ ...fine, limits: { wallTime: "-1s" } }, ["/limits/wallTime"]],
  "a wall time of a day": [{ ...fine, limits: { wallTime: "86400s" } }, ["/limits/wallTime"]],
  "memory of one byte": [{ ...fine, limits: { memoryBytes: 1 } }, ["/limits/memoryBytes"]],
  "memory that is not whole": [{ ...fine, limits: { memoryBytes: 1.5 } }, ["/limits/memoryBytes"]],
  "processes beyond any host": [{ ...fine, limits: { pids: 99_999 } }, ["/limits/pids"]],
  "processes below nothing": [{ ...fine, limits: { pids: -1 } }, ["/limits/pids"]],
  "a disk beyond 64 bits": [
    { ...fine, limits: { diskBytes: "99999999999999999999" } },
    ["/limits/diskBytes"],
  ],
  "an empty label": [{ ...fine, metadata: { "": "x" } }, ["/metadata/"]],
  "several faults": [
    { language: "bash", code: 1, args: [2], limits: { pids: "x" } },
    ["/code", "/args/0", "/limits/pids"],
  ],
};

for (const [what, [spec, expected]] of Object.entries(invalid)) {
  test(`${what} is refused, and told by its pointer`, async () => {
    const problem = await refusal(await post(platform(), path, spec), 400, "invalid_request");
    assert.deepEqual([...new Set(pointers(problem))], expected);
    for (const { detail, rule } of problem.errors ?? []) assert.ok(detail && rule);
    assert.equal(problem.instance, path);
  });
}

test("neither code nor files, or both, is refused for the request as a whole", async () => {
  const files = [{ name: "a", content: "x" }];
  for (const spec of [{ language: "bash" }, { ...fine, files }]) {
    const problem = await refusal(await post(platform(), path, spec), 400, "invalid_request");
    assert.deepEqual(pointers(problem), [""]);
    assert.match(problem.errors?.[0]?.detail ?? "", /one of code, files/);
  }
});

for (const method of ["/api/v1/executions", path, "/api/v1/executions:stream"]) {
  test(`an unknown language or version at ${method} names the known ones, and nothing is queued`, async () => {
    const before = (await list(platform())).executions.length;
    for (const [spec, field] of [
      [{ language: "cobol", code: "x" }, "language"],
      [{ language: "python", version: "99", code: "x" }, "version"],
    ] as const) {
      const problem = await refusal(await post(platform(), method, spec), 400, "unknown_language");
      assert.deepEqual(pointers(problem), [`/${field}`]);
      assert.match(problem.detail, field === "language" ? /python.*bash/ : /3\.\d+/);
    }
    assert.equal((await list(platform())).executions.length, before);
  });
}

const bodies: Readonly<Record<string, readonly [body: string | Buffer, pattern: RegExp]>> = {
  "a body cut short": ['{"language": "ba', /JSON/],
  "no JSON at all": ["language=bash", /JSON/],
  "JSON of the wrong kind": ["[]", /object/],
  "JSON null": ["null", /./],
  "a body that is not UTF-8": [Buffer.from([0x22, 0xff, 0xfe, 0x22]), /UTF-8/],
  "no body": ["", /./],
};

for (const [what, [body, pattern]] of Object.entries(bodies)) {
  test(`${what} is 400 and says so`, async () => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(`${platform().url}${path}`, { method: "POST", headers, body });
    const { status, detail, errors } = await response.json().then(parseProblem);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(status, 400);
    assert.match(`${detail} ${errors?.map((error) => error.detail).join()}`, pattern);
  });
}

function parseProblem(json: unknown): {
  status: number;
  detail: string;
  errors?: { detail: string }[];
} {
  return json as { status: number; detail: string; errors?: { detail: string }[] };
}

test("JSON nested a thousand deep is refused", async () => {
  const body = `{"language":"bash","env":${"[".repeat(1000)}${"]".repeat(1000)}}`;
  const response = await post(platform(), path, undefined, { body });
  assert.equal(response.status, 400);
  await response.body?.cancel();
});

test("another media type, or packing that is not known, is 415; gzip is understood", async () => {
  for (const type of ["text/plain", "application/xml", "multipart/form-data; boundary=x"]) {
    const init = { headers: { "Content-Type": type } };
    await refusal(await post(platform(), path, fine, init), 415, "unsupported_media_type");
  }
  const packed = { headers: { "Content-Encoding": "zstd" } };
  await refusal(await post(platform(), path, fine, packed), 415, "unsupported_media_type");
  const gzip = { headers: { "Content-Encoding": "gzip" }, body: gzipSync(JSON.stringify(fine)) };
  assert.equal((await post(platform(), path, undefined, gzip)).status, 200);
  const typed = { headers: { "Content-Type": "application/json; charset=utf-8" } };
  assert.equal((await post(platform(), path, fine, typed)).status, 200);
});

test("a body above 4 MiB is 413, packed or not", async () => {
  const large = JSON.stringify({ ...fine, stdin: "x".repeat(5 * 1024 * 1024) });
  await refusal(await post(platform(), path, undefined, { body: large }), 413, "payload_too_large");
  const bomb = {
    headers: { "Content-Encoding": "gzip" },
    body: gzipSync(Buffer.alloc(64 * 1024 * 1024, 32)),
  };
  await refusal(await post(platform(), path, undefined, bomb), 413, "payload_too_large");
});

test("a path that is not there is 404; a verb that a path does not take is 405 and names those it does", async () => {
  for (const nowhere of [
    "/nothing",
    "/api/v1/nothing",
    "/api/v2/executions",
    "/api/v1/executions:fly",
    "/etc/passwd",
  ]) {
    await refusal(await fetch(`${platform().url}${nowhere}`), 404, "route_not_found");
  }
  const response = await fetch(`${platform().url}/api/v1/executions`, { method: "DELETE" });
  assert.deepEqual(response.headers.get("allow")?.split(", ").toSorted(), [
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
  ]);
  await refusal(response, 405, "method_not_allowed");
  const verb = await fetch(`${platform().url}${path}`);
  assert.match(verb.headers.get("allow") ?? "", /POST/);
  await refusal(verb, 405, "method_not_allowed");
});

test("a stream that is asked for in a media type that is not offered is 406", async () => {
  const init = { headers: { Accept: "image/png" } };
  await refusal(
    await post(platform(), "/api/v1/executions:stream", fine, init),
    406,
    "not_acceptable",
  );
});

test("an id that is none, or hides a slash, is 400", async () => {
  for (const id of [
    "x",
    "1",
    "00000000-0000-7000-8000-00000000000g",
    "a%2Fb",
    "..%2F..%2Fhealth",
  ]) {
    const response = await fetch(`${platform().url}/api/v1/executions/${id}`);
    await refusal(response, 400, "invalid_request");
  }
});

test("query parameters are held to the contract like bodies are", async () => {
  for (const [query, code, found] of [
    ["pageSize=-1", "invalid_request", ["/pageSize"]],
    ["pageSize=many", "invalid_request", ["/pageSize"]],
    ["colour=red", "invalid_request", ["/colour"]],
    ["filter=status", "invalid_filter", undefined],
    ["filter=status%20LIKE%20x", "invalid_filter", undefined],
    ["filter=password%20%3D%20x", "invalid_filter", undefined],
  ] as const) {
    const response = await fetch(`${platform().url}/api/v1/executions?${query}`);
    const problem = await refusal(response, 400, code);
    if (found !== undefined) assert.deepEqual(pointers(problem), found, query);
  }
  assert.equal((await fetch(`${platform().url}/api/v1/executions?pageSize=100000`)).status, 200);
});

test("every answer carries a request id, takes one that is given, and goes on with a trace", async () => {
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const headers = { "X-Request-Id": "mine-1", traceparent: trace };
  const response = await fetch(`${platform().url}/api/v1/executions`, { headers });
  assert.equal(response.headers.get("x-request-id"), "mine-1");
  assert.match(response.headers.get("traceparent") ?? "", /^00-0af7651916cd43dd8448eb211c80319c-/);
  const other = await fetch(`${platform().url}/nothing`);
  assert.match((await refusal(other, 404, "route_not_found")).requestId, /^[\w-]{16,}$/);
});

test("nothing that was refused was ever an execution", async () => {
  const { executions } = await list(platform(), { pageSize: "1000" });
  assert.ok(
    executions.every(({ status, language }) => status === "SUCCEEDED" && language === "bash"),
  );
});
