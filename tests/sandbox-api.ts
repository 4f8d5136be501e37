// Sandboxes by REST, as a client that has only the documentation sees them.
import assert from "node:assert/strict";
import { post, type Server } from "./api.ts";
import { readSentEvents } from "./streams.ts";

export interface Sandbox {
  readonly id: string;
  readonly status: string;
  readonly language: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly limits: { readonly memoryBytes: string; readonly pids: number };
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly endedAt?: string;
  readonly endReason?: string;
  readonly endMessage?: string;
}

export interface Process {
  readonly id: number;
  readonly pid: number;
  readonly command: string;
  readonly tag: string;
  readonly running: boolean;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly endReason?: string;
  readonly lastEvent: number;
}

export interface ProcessEvent {
  readonly number: number;
  readonly started?: Process;
  readonly stdout?: { readonly text?: string; readonly base64?: string };
  readonly stderr?: { readonly text?: string; readonly base64?: string };
  readonly words?: { readonly text?: string; readonly base64?: string };
  readonly lostBytes?: number;
  readonly ended?: Process;
}

export interface Ran {
  readonly process: Process;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutTruncated: boolean;
}

export interface FileEntry {
  readonly path: string;
  readonly name: string;
  readonly type: string;
  readonly sizeBytes: number;
  readonly mode: number;
}

/** What a test waits for comes sooner. */
const followMsMax = 20_000;
const sandboxesPath = "/api/v1/sandboxes";

/** A sandbox's path, or one below it. */
export function pathOf(id: string, rest = ""): string {
  return `${sandboxesPath}/${id}${rest}`;
}

/** Posts, and answers what came, which is to be a success. */
export async function postOk<T>(server: Server, path: string, body: unknown): Promise<T> {
  return parseOk<T>(await post(server, path, body));
}

export async function getOk<T>({ url }: Server, path: string): Promise<T> {
  return parseOk<T>(await fetch(`${url}${path}`));
}

/** What came, which is to be a success. */
export async function parseOk<T>(response: Response): Promise<T> {
  const text = await response.text();
  assert.ok(response.ok, `${response.status} ${text}`);
  return JSON.parse(text) as T;
}

function parseEvent(text: string): ProcessEvent {
  return JSON.parse(text) as ProcessEvent;
}

/** A sandbox, as a stream of them sends it. */
export function parseSandbox(text: string): Sandbox {
  return JSON.parse(text) as Sandbox;
}

/** A change of a file, as a stream of them sends it. */
export function parseChange(text: string): { readonly type: string; readonly path: string } {
  return JSON.parse(text) as { type: string; path: string };
}

export function makeSandbox(server: Server, spec: object = {}): Promise<Sandbox> {
  return postOk(server, sandboxesPath, spec);
}

export function getSandbox(server: Server, id: string): Promise<Sandbox> {
  return getOk(server, pathOf(id));
}

export async function killSandbox({ url }: Server, id: string): Promise<Sandbox> {
  return parseOk<Sandbox>(await fetch(`${url}${pathOf(id)}`, { method: "DELETE" }));
}

/** Runs a shell command to its end. */
export function shell(server: Server, id: string, code: string, more: object = {}): Promise<Ran> {
  const spec = { command: "bash", args: ["-c", code], ...more };
  return postOk(server, pathOf(id, "/processes:run"), spec);
}

export function startProcess(server: Server, id: string, spec: object): Promise<Process> {
  return postOk(server, pathOf(id, "/processes"), spec);
}

export function getProcess(server: Server, id: string, process: number): Promise<Process> {
  return getOk(server, pathOf(id, `/processes/${process}`));
}

/** Follows a process, or posts what starts one, until it ends or the callback says that it is enough. */
export async function follow(
  response: Response,
  enough: (event: ProcessEvent) => boolean = () => false,
): Promise<ProcessEvent[]> {
  assert.equal(response.status, 200);
  const events: ProcessEvent[] = [];
  for await (const { data, id } of readSentEvents(response)) {
    const event = parseEvent(data);
    if (event.number === undefined) continue;
    assert.equal(id, String(event.number));
    events.push(event);
    if (enough(event)) break;
  }
  return events;
}

export function watchProcess({ url }: Server, id: string, process: number, after = 0) {
  return fetch(`${url}${pathOf(id, `/processes/${process}/events`)}`, {
    headers: { "Last-Event-ID": String(after), Accept: "text/event-stream" },
    signal: AbortSignal.timeout(followMsMax),
  });
}

/** What was printed in these events. */
export function textOf(
  events: readonly ProcessEvent[],
  stream: "stdout" | "stderr" = "stdout",
): string {
  return events.map((event) => event[stream]?.text ?? "").join("");
}
