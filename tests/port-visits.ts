// Visits to servers in sandboxes, as a client makes them that sets every header by itself.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request as createRequest } from "node:http";
import { join } from "node:path";
import type { Platform } from "./platform.ts";
import { follow, makeSandbox, pathOf, postOk, startProcess, watchProcess } from "./sandbox-api.ts";

const program = readFileSync(new URL("port-server.cjs", import.meta.url), "utf8");
const visitMsMax = 20_000;

/** A server in a sandbox. */
export interface Served {
  readonly id: string;
  readonly port: number;
}

/** The key of a platform's data folder. */
export function keyOf({ data }: Platform): string {
  return readFileSync(join(data, "api-key"), "utf8").trim();
}

/** Starts the tests' server in a sandbox, a new one or this. */
export async function serveIn(
  platform: Platform,
  { port = 8000, id }: { readonly port?: number; readonly id?: string } = {},
): Promise<Served> {
  const sandbox = id ?? (await makeSandbox(platform, { lifetime: "600s" })).id;
  const files = [{ path: "server.cjs", content: program }];
  await postOk(platform, pathOf(sandbox, "/files:write"), { files });
  const spec = { command: "node", args: ["server.cjs", String(port)] };
  const process = await startProcess(platform, sandbox, spec);
  const response = await watchProcess(platform, sandbox, process.id);
  const events = await follow(response, ({ stdout }) => stdout !== undefined);
  assert.match(events.at(-1)?.stdout?.text ?? "", /listening/, JSON.stringify(events));
  return { id: sandbox, port };
}

/** An answer, whole. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
}

/** What is sent. */
export interface Visit {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Sends a request and reads its answer. */
export async function send(platform: Platform, path: string, visit: Visit = {}): Promise<Answer> {
  const answer = await open(platform, path, visit);
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(Buffer.from(part));
  const { statusCode: status = 0, headers, rawHeaders } = answer;
  return { status, headers, rawHeaders, text: Buffer.concat(parts).toString() };
}

/** Sends a request and answers with the head alone; the body is the caller's to read. */
export function open(
  { url }: Platform,
  path: string,
  { method = "GET", headers = {}, body }: Visit = {},
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const to = { hostname, port, path, method, headers, agent: false };
    const request = createRequest({ ...to, signal: AbortSignal.timeout(visitMsMax) }, resolve);
    request.on("error", reject);
    request.end(body);
  });
}

/** Announces a body and sends none of it. */
export function unsentRequest(
  { url }: Platform,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const given = { ...headers, "Content-Length": "1000000" };
    const to = { hostname, port, path, method: "POST", headers: given, agent: false };
    const request = createRequest({ ...to, signal: AbortSignal.timeout(visitMsMax) }, (answer) => {
      resolve({ status: answer.statusCode ?? 0 });
      request.destroy();
    });
    request.on("error", reject);
    request.flushHeaders();
  });
}

/** What the tests' server tells of a request that it got. */
export interface Told {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

/** Reads what it told. */
export function parseTold(text: string): Told {
  return JSON.parse(text) as Told;
}

/** The values of a header, in order. */
export function headersOf(raw: readonly string[], name: string): string[] {
  return raw.filter((_value, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name);
}

/** The answer to a handshake, as the client's library gives it. */
export function parseIncoming(value: unknown): IncomingMessage {
  return value as IncomingMessage;
}
