// GraphQL as a client sees it that knows only the schema it was told: queries, mutations, subscriptions, bounds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { create, type ExecutionEvent, findByLabel, post, python } from "../api.ts";
import { assertGapless, stdoutOf } from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

interface Answer {
  readonly data?: Readonly<Record<string, Readonly<Record<string, unknown>> | null>> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions: { readonly code: string; readonly status: number };
  }[];
}

async function ask(query: string, variables: object = {}): Promise<Answer> {
  const response = await post(platform(), "/graphql", { query, variables });
  return parseAnswer(await response.json());
}

function parseAnswer(json: unknown): Answer {
  return json as Answer;
}

function subscriber(): Client {
  return createClient({
    url: `${platform().url.replace("http", "ws")}/graphql`,
    webSocketImpl: WebSocket,
  });
}

const eventFields = "number stdout { text } finished { status }";

interface Subscribed {
  readonly number: number;
  readonly stdout?: { readonly text?: string } | null;
  readonly finished?: { readonly status: string } | null;
}

function parseSubscribed(data: unknown): Subscribed {
  const [event] = Object.values(data as Record<string, Subscribed>);
  assert.ok(event, "a subscription's message has its field");
  return event;
}

/** As the REST API has them. */
function asEvent({ number, stdout }: Subscribed): ExecutionEvent {
  const text = stdout?.text;
  return { number, time: "", ...(text === undefined ? {} : { stdout: { text } }) };
}

test("a mutation runs a program, and a query finds it", async () => {
  const run = await ask(
    'mutation($code: String) { execution_execute(spec: {language: "python", code: $code}) { id status stdout } }',
    { code: "print(6 * 7)" },
  );
  const { id, status, stdout } = run.data?.["execution_execute"] ?? {};
  assert.deepEqual([status, stdout], ["SUCCEEDED", "42\n"], JSON.stringify(run));
  const query =
    "query($id: String) { execution_getExecution(id: $id) { id exitCode metrics { success } } }";
  await eventually("it is found", async () => {
    const found = await ask(query, { id });
    return found.data?.["execution_getExecution"]?.["exitCode"] === 0;
  });
});

test("a query cannot change anything, and a mutation cannot be sent by GET", async () => {
  const asQuery = await ask('{ execution_execute(spec: {language: "bash", code: "echo"}) { id } }');
  assert.ok(asQuery.errors?.length);
  const mutation = 'mutation { execution_execute(spec: {language: "bash", code: "echo"}) { id } }';
  const response = await fetch(`${platform().url}/graphql?query=${encodeURIComponent(mutation)}`);
  assert.ok(response.status >= 400, `it was answered with ${response.status}`);
  const query = encodeURIComponent("{ execution_listLanguages { languages { name } } }");
  const read = await fetch(`${platform().url}/graphql?query=${query}`);
  assert.equal(read.status, 200);
  assert.match(await read.text(), /"python"/);
});

test("a form of another page's cannot post here", async () => {
  const init = { headers: { "Content-Type": "text/plain" } };
  const response = await post(platform(), "/graphql", { query: "{ __typename }" }, init);
  assert.equal(response.status, 415);
  await response.body?.cancel();
});

test("errors tell their code and status beside what succeeded", async () => {
  const { id } = await python(platform(), "print(1)");
  const { data, errors } = await ask(`{
    a: execution_getExecution(id: "00000000-0000-7000-8000-000000000000") { id }
    b: execution_getExecution(id: "${id}") { id } }`);
  assert.deepEqual(data, { a: null, b: { id } });
  assert.deepEqual(
    [errors?.[0]?.extensions.code, errors?.[0]?.extensions.status],
    ["execution_not_found", 404],
  );
});

test("a query that is too deep or too wide is refused before it runs", async () => {
  const deep = `{ __schema { types ${"{ fields { type ".repeat(40)} { name } ${"} }".repeat(40)} } }`;
  const wide = Array.from(
    { length: 300 },
    (_, n) => `a${n}: execution_listLanguages { languages { name } }`,
  );
  for (const query of [deep, `{ ${wide.join(" ")} }`]) {
    const { errors, data } = await ask(query);
    assert.ok(data === undefined || data === null);
    assert.equal(errors?.[0]?.extensions.code, "query_too_complex");
  }
});

test("a subscription follows a run to its end", async () => {
  const client = subscriber();
  const query = `subscription { execution_executeStream(spec: {language: "bash", code: "echo a; sleep 0.1; echo b"}) { ${eventFields} } }`;
  const events: Subscribed[] = [];
  for await (const { data, errors } of client.iterate({ query })) {
    assert.equal(errors, undefined, JSON.stringify(errors));
    events.push(parseSubscribed(data));
  }
  assertGapless(events.map(asEvent));
  assert.equal(stdoutOf(events.map(asEvent)), "a\nb\n");
  assert.equal(events.at(-1)?.finished?.status, "SUCCEEDED");
  await client.dispose();
});

test("a subscriber resumes from a number, and one that leaves a run it began cancels it", async () => {
  const client = subscriber();
  const { id } = await create(platform(), { language: "bash", code: "echo a; echo b" });
  const watched: number[] = [];
  const watch = `subscription { execution_watchExecution(id: "${id}", after: 2) { number } }`;
  for await (const { data } of client.iterate({ query: watch }))
    watched.push(parseSubscribed(data).number);
  assert.equal(watched[0], 3);
  const spec = `{language: "bash", code: "echo up; sleep 600", limits: {wallTime: "600s"}, metadata: {label: "subscribed"}}`;
  const query = `subscription { execution_executeStream(spec: ${spec}) { ${eventFields} } }`;
  for await (const { data } of client.iterate({ query })) {
    if (parseSubscribed(data).stdout) break;
  }
  await eventually("the run is cancelled", async () => {
    return (await findByLabel(platform(), "subscribed"))?.status === "CANCELLED";
  });
  await client.dispose();
});

test("what is internal to the platform is not in the schema", async () => {
  const { data } = await ask("{ __schema { types { name } } }");
  assert.doesNotMatch(JSON.stringify(data), /RunRequest|runner/i);
  assert.match(JSON.stringify(data), /Execution/);
});
