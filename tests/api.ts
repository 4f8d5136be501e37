// The REST API with plain fetch and plain types: nothing of the platform's own code stands between a test and the wire.
import assert from "node:assert/strict";

/** What is asked to be run. */
export interface Spec {
  readonly language: string;
  readonly version?: string;
  readonly code?: string;
  readonly files?: readonly SpecFile[];
  readonly stdin?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly maskSecrets?: boolean;
  readonly limits?: Readonly<Record<string, string | number>>;
  readonly network?: object;
  readonly artifacts?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface SpecFile {
  readonly name: string;
  readonly content?: string;
  readonly contentBase64?: string;
}

/** An execution as the API answers it. */
export interface Execution {
  readonly id: string;
  readonly status: string;
  readonly language: string;
  readonly version: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly errorType?: string;
  readonly errorMessage?: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBase64: string;
  readonly stderrBase64: string;
  readonly stdoutTruncated: boolean;
  readonly stderrTruncated: boolean;
  readonly artifacts: readonly Artifact[];
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly metrics?: Readonly<Record<string, number | string | boolean>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Artifact {
  readonly name: string;
  readonly contentBase64: string;
  readonly sizeBytes: number;
  readonly truncated: boolean;
  readonly error?: string;
}

/** RFC 9457, with the fields that Syla adds. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly instance: string;
  readonly requestId: string;
  readonly errors?: readonly { pointer: string; detail: string; rule: string }[];
}

/** An event of an execution. */
export interface ExecutionEvent {
  readonly number: number;
  readonly time: string;
  readonly status?: { readonly status: string; readonly phase: string };
  readonly stdout?: { readonly text?: string; readonly base64?: string };
  readonly stderr?: { readonly text?: string; readonly base64?: string };
  readonly artifact?: Artifact;
  readonly finished?: Execution;
}

export interface Page {
  readonly executions: readonly Execution[];
  readonly nextPageToken: string;
}

/** Just what it needs of a platform. */
export interface Server {
  readonly url: string;
}

export interface PostInit extends Omit<RequestInit, "headers"> {
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a JSON body, with more headers where they matter. */
export async function post(
  { url }: Server,
  path: string,
  body: unknown,
  init: PostInit = {},
): Promise<Response> {
  const headers = { "Content-Type": "application/json", ...init.headers };
  return fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body), ...init, headers });
}

/** Runs a program and waits for its end. */
export async function execute(server: Server, spec: Spec): Promise<Execution> {
  const response = await post(server, "/api/v1/executions:execute", spec);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parseExecution(JSON.parse(text));
}

/** Runs a Python program. */
export function python(
  server: Server,
  code: string,
  more: Omit<Spec, "language" | "code"> = {},
): Promise<Execution> {
  return execute(server, { language: "python", code, ...more });
}

/** Queues a program. */
export async function create(server: Server, spec: Spec): Promise<Execution> {
  const response = await post(server, "/api/v1/executions", spec);
  const text = await response.text();
  assert.equal(response.status, 201, text);
  return parseExecution(JSON.parse(text));
}

export async function get({ url }: Server, id: string): Promise<Execution> {
  const response = await fetch(`${url}/api/v1/executions/${id}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parseExecution(JSON.parse(text));
}

export async function cancel(server: Server, id: string): Promise<Execution> {
  const response = await post(server, `/api/v1/executions/${id}:cancel`, {});
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parseExecution(JSON.parse(text));
}

/** A page of executions; the parameters are the query's. */
export async function list(
  { url }: Server,
  query: Readonly<Record<string, string>> = {},
): Promise<Page> {
  const response = await fetch(`${url}/api/v1/executions?${new URLSearchParams(query).toString()}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parsePage(JSON.parse(text));
}

/** The only execution that carries a label, or undefined. */
export async function findByLabel(server: Server, label: string): Promise<Execution | undefined> {
  const { executions } = await list(server, { filter: `metadata.label = "${label}"` });
  assert.ok(executions.length <= 1, `${executions.length} executions carry the label ${label}`);
  return executions[0];
}

/** Asserts a refusal, and answers its problem. */
export async function refusal(response: Response, status: number, code: string): Promise<Problem> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const problem = parseProblem(JSON.parse(text));
  assert.equal(problem.status, status);
  assert.equal(problem.code, code, text);
  assert.equal(problem.type, `urn:syla:error:${code}`);
  assert.equal(problem.requestId, response.headers.get("x-request-id"));
  for (const field of ["title", "detail", "instance"] as const) assert.ok(problem[field], field);
  return problem;
}

/** The JSON pointers that a problem names. */
export function pointers(problem: Problem): string[] {
  return (problem.errors ?? []).map(({ pointer }) => pointer);
}

export function parseExecution(json: unknown): Execution {
  return json as Execution;
}

function parsePage(json: unknown): Page {
  return json as Page;
}

export function parseProblem(json: unknown): Problem {
  return json as Problem;
}

export function parseEvent(json: unknown): ExecutionEvent {
  return json as ExecutionEvent;
}
