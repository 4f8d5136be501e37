// GraphQL by plain HTTP, by graphql-js as a client that knows only the introspected schema, and by graphql-ws.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import Fastify from "fastify";
import {
  buildClientSchema,
  getIntrospectionQuery,
  type IntrospectionQuery,
  printSchema,
} from "graphql";
import { type Client, createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { registerGraphql } from "./graphql.ts";
import {
  createSurfaceFixture,
  handlersEnded,
  knownId,
  unknownId,
  until,
} from "../surface-fixture.ts";

interface Answer {
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions: {
      readonly code: string;
      readonly status: number;
      readonly requestId: string;
      readonly violations?: readonly { readonly pointer: string }[];
    };
  }[];
}

const { dispatcher, log } = createSurfaceFixture();
const fastify = Fastify();
const logged: object[] = [];
registerGraphql(fastify, fastify.server, dispatcher, {
  origins: [],
  frameBytesMax: 1024 * 1024,
  heartbeatMs: 1000,
  bodyBytesMax: 1024 * 1024,
  answers: { compressBytesMin: 1024, draining: false },
  log: { error: (facts) => void logged.push(facts) },
});
const baseUrl = await fastify.listen({ port: 0, host: "127.0.0.1" });
after(() => {
  fastify.server.closeAllConnections();
  return fastify.close();
});

async function post(query: string, variables?: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${baseUrl}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, response, answer: parseAnswer(await response.text()) };
}

function parseAnswer(text: string): Answer {
  return JSON.parse(text) as Answer;
}

function parseIntrospection(data: unknown): IntrospectionQuery {
  return data as IntrospectionQuery;
}

describe("GraphQL over HTTP", () => {
  test("answers a query with enums, maps, times and empty fields", async () => {
    const fields =
      "id status exitCode signal metadata createdAt finishedAt stdoutBase64 artifacts { name }";
    const query = `query($id: String) { execution_getExecution(id: $id) { ${fields} } }`;
    const { answer, response } = await post(query, { id: knownId });
    assert.deepEqual(answer.data?.["execution_getExecution"], {
      id: knownId,
      status: "SUCCEEDED",
      exitCode: 0,
      signal: null,
      metadata: { team: "a" },
      createdAt: "2023-11-14T22:13:20Z",
      finishedAt: null,
      stdoutBase64: "",
      artifacts: [],
    });
    assert.ok(response.headers.get("x-request-id"));
  });

  test("takes nested input, oneof members, 64-bit numbers, durations and maps", async () => {
    const query = `mutation {
      execution_execute(spec: {
        language: "python", code: "x", env: {A: "1"},
        limits: {wallTime: "1.5s", memoryBytes: 67108864, outputBytes: "100"}
      }) { stdout }
      other: execution_createExecution(spec: {
        language: "python", files: [{name: "a.py", body: {content: "1"}}, {name: "b", body: {contentBase64: "AA=="}}]
      }) { id }
    }`;
    const { answer } = await post(query);
    assert.deepEqual(answer, {
      data: { execution_execute: { stdout: "x" }, other: { id: knownId } },
    });
    const both = await post(`mutation { execution_execute(spec: {language: "p",
      files: [{name: "a", body: {content: "1", contentBase64: "AA=="}}]}) { id } }`);
    assert.match(both.answer.errors?.[0]?.message ?? "", /exactly one/i);
  });

  test("tells errors by code, status and pointer, beside what succeeded", async () => {
    const { answer, status } = await post(`{
      a: execution_getExecution(id: "${unknownId}") { id }
      b: execution_getExecution(id: "nope") { id }
      c: execution_getExecution(id: "${knownId}") { id }
    }`);
    assert.equal(status, 200);
    assert.deepEqual(answer.data, { a: null, b: null, c: { id: knownId } });
    const found = answer.errors?.map(({ extensions }) => extensions) ?? [];
    const [b, a] = found.toSorted((one, other) => one.status - other.status);
    assert.equal(a?.code, "execution_not_found");
    assert.equal(a?.status, 404);
    assert.equal(b?.code, "invalid_request");
    assert.equal(b?.violations?.[0]?.pointer, "/id");
    assert.ok(b?.requestId);
  });

  test("tells what is wrong with a document or a variable, without the values in it", async () => {
    const query = `mutation($s: Execution_ExecutionSpecInput) { execution_execute(spec: $s) { id } }`;
    const secrets = { TOKEN: "hidden" };
    const literal = `language: "p", secrets: {TOKEN: "hidden"}`;
    for (const [document, variables, expected] of [
      [query, { s: { secrets, colour: 1 } }, /not to include unknown field "colour"\.$/],
      [query, { s: { secrets, secret: 1 } }, /Did you mean "secrets"\?$/],
      [query, { s: "hidden" }, /to be an object\.$/],
      [query, { s: { language: ["hidden"] } }, /String cannot represent a non string value\.$/],
      [query, { s: { secrets: "hidden" } }, /expected an object, got a string\.$/],
      [`mutation { execution_execute(spec: {${literal}, colour: 1}) { id } }`, {}, /"colour"\.$/],
      [`mutation { execution_execute(spec: {${literal} "hidden"`, {}, /found String\.$/],
    ] as const) {
      const { answer } = await post(document, variables);
      assert.doesNotMatch(JSON.stringify(answer), /hidden/);
      assert.match(answer.errors?.[0]?.message ?? "", expected);
      assert.equal(answer.errors?.[0]?.extensions.code, "invalid_request");
    }
    assert.deepEqual(logged, []);
  });

  test("tells nothing of a crash, but logs it", async () => {
    const run = `mutation { execution_execute(spec: {language: "p", code: "crash"}) { id } }`;
    const { answer } = await post(run);
    assert.equal(answer.errors?.[0]?.extensions.code, "internal");
    assert.doesNotMatch(JSON.stringify(answer), /secret/);
    assert.equal(logged.length, 1);
  });

  test("takes queries by GET, but no mutation, and only JSON by POST", async () => {
    const get = async (query: string) => {
      const response = await fetch(`${baseUrl}/graphql?query=${encodeURIComponent(query)}`);
      return { status: response.status, answer: parseAnswer(await response.text()) };
    };
    const listed = await get("{ execution_listLanguages { languages { name } } }");
    assert.deepEqual(listed.answer.data, {
      execution_listLanguages: { languages: [{ name: "python" }] },
    });
    const refused = await get(`mutation { execution_cancelExecution(id: "${knownId}") { id } }`);
    assert.equal(refused.status, 405);
    const form = await fetch(`${baseUrl}/graphql`, {
      method: "POST",
      body: '{"query":"{__typename}"}',
    });
    assert.equal(form.status, 415);
    for (const body of ["", "{", "[]", '{"query":5}', '{"query":"{__typename}","variables":[]}']) {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${baseUrl}/graphql`, { method: "POST", headers, body });
      assert.equal(response.status, 400, body);
    }
  });

  test("answers a wrong document with 400 to clients of the newer media type", async () => {
    const accept = { accept: "application/graphql-response+json" };
    for (const query of ["{ nope }", "{", "query A {__typename} query B {__typename}"]) {
      const { status, answer } = await post(query, undefined, accept);
      assert.equal(status, 400, query);
      assert.equal(answer.errors?.[0]?.extensions.code, "invalid_request");
    }
  });

  test("refuses documents that are too deep, too wide or cost too much", async () => {
    const deep = `{ a: __type(name: "x") { ${"ofType { ".repeat(20)}name${" }".repeat(20)} } }`;
    const wide = `{ ${Array.from({ length: 70 }, (_, index) => `a${index}: __typename`).join(" ")} }`;
    const bomb = Array.from(
      { length: 14 },
      (_, index) => `fragment F${index} on Query { ...F${index + 1} ...F${index + 1} }`,
    ).join(" ");
    const dear = `{ ...F0 } ${bomb} fragment F14 on Query { execution_listLanguages { languages { name } } }`;
    for (const query of [deep, wide, dear]) {
      const { answer } = await post(query);
      assert.equal(answer.errors?.[0]?.extensions.code, "query_too_complex", query.slice(0, 40));
    }
    const { answer } = await post(`{ ${"__typename ".repeat(5000)} }`);
    assert.equal(answer.errors?.[0]?.extensions.code, "invalid_request");
  });

  test("is introspected whole, without internal services and with the contract's comments", async () => {
    const { answer } = await post(
      getIntrospectionQuery({ oneOf: true, inputValueDeprecation: true }),
    );
    const schema = printSchema(buildClientSchema(parseIntrospection(answer.data)));
    assert.match(schema, /execution_getExecution\(/);
    assert.match(schema, /Answers one execution, running or finished\./);
    assert.match(schema, /input Execution_SourceFile_bodyInput @oneOf/);
    assert.match(schema, /execution_watchExecution\(/);
    assert.doesNotMatch(schema, /Runner|CheckNetwork|Sandbox_Sandbox/);
  });

  test("whose caller leaves ends the handler", async () => {
    const leaving = new AbortController();
    const query = `mutation { execution_execute(spec: {language: "p", code: "hang"}) { id } }`;
    const call = fetch(`${baseUrl}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query }),
      signal: leaving.signal,
    }).catch(() => "left");
    await until(() => log.started > log.ended, "the handler began");
    leaving.abort();
    assert.equal(await call, "left");
    await handlersEnded(log);
  });
});

describe("GraphQL subscriptions", () => {
  const open = () =>
    createClient({
      url: `${baseUrl.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
    });

  const watch = (client: Client, code: string) =>
    client.iterate<Record<string, { number: number; stdout: { text: string } }>>({
      query: `subscription($spec: Execution_ExecutionSpecInput) {
        execution_executeStream(spec: $spec) { number stdout { text } }
      }`,
      variables: { spec: { language: "python", code } },
    });

  test("stream to the end", async () => {
    const client = open();
    const seen: unknown[] = [];
    for await (const { data } of watch(client, "quick"))
      seen.push(data?.["execution_executeStream"]);
    assert.equal(seen.length, 5);
    assert.deepEqual(seen[0], { number: 1, stdout: { text: "line 1\n" } });
    await client.dispose();
  });

  test("tell an error with its facts", async () => {
    const client = open();
    const outcome: unknown[] = [];
    try {
      for await (const result of watch(client, "fail")) outcome.push(result);
    } catch (thrown) {
      outcome.push(thrown);
    }
    assert.match(JSON.stringify(outcome), /"code":"queue_full"/);
    const wrong = watch(client, "");
    const { value } = await wrong.next().catch((thrown: unknown) => ({ value: thrown }));
    assert.match(JSON.stringify(value), /"pointer":"\/spec"/);
    await client.dispose();
  });

  test("that are left while they wait end the handler", async () => {
    const client = open();
    const events = watch(client, "hang");
    for (let number = 1; number <= 5; number += 1) await events.next();
    const waiting = events.next();
    await until(() => log.started > log.ended, "the handler waits");
    await events.return?.();
    await handlersEnded(log);
    await waiting;
    await client.dispose();
  });

  test("end their handlers when the connection is cut, queries too", async () => {
    const client = open();
    await watch(client, "hang").next();
    const query = `mutation { execution_execute(spec: {language: "p", code: "hang"}) { id } }`;
    void client
      .iterate({ query })
      .next()
      .catch(() => undefined);
    await until(() => log.started - log.ended === 2, "both handlers began");
    client.terminate();
    await handlersEnded(log);
  });
});
