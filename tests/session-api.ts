// Sessions by REST, as a client that has only the documentation sees them.
import assert from "node:assert/strict";
import { post, type Server } from "./api.ts";
import { getOk, postOk } from "./sandbox-api.ts";
import { readSentEvents } from "./streams.ts";

export interface Session {
  readonly id: string;
  readonly status: string;
  readonly language: string;
  readonly version: string;
  readonly directory: string;
  readonly sandbox: string;
  readonly ownsSandbox: boolean;
  readonly executionCount: number;
  readonly restarts: number;
  readonly lastEvent: number;
  readonly endReason?: string;
  readonly endMessage?: string;
}

export interface Part {
  readonly mimeType: string;
  readonly text?: string;
  readonly base64?: string;
}

export interface Result {
  readonly main: boolean;
  readonly parts: readonly Part[];
  readonly displayId: string;
  readonly metadataJson: string;
}

export interface CellError {
  readonly name: string;
  readonly message: string;
  readonly traceback: readonly string[];
}

export interface Cell {
  readonly id: number;
  readonly status: string;
  readonly code: string;
  readonly executionCount?: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutTruncated: boolean;
  readonly results: readonly Result[];
  readonly resultsTruncated: boolean;
  readonly expressions: readonly {
    readonly name: string;
    readonly parts: readonly Part[];
    readonly error?: CellError;
  }[];
  readonly error?: CellError;
  readonly inputRequest?: { readonly prompt: string; readonly password: boolean };
  readonly firstEvent: number;
}

interface Output {
  readonly text?: string;
  readonly base64?: string;
}

export interface SessionEvent {
  readonly number: number;
  readonly cell: number;
  readonly session?: Session;
  readonly queued?: Cell;
  readonly started?: Cell;
  readonly stdout?: Output;
  readonly stderr?: Output;
  readonly result?: Result;
  readonly update?: Result;
  readonly clear?: { readonly wait: boolean };
  readonly inputRequest?: { readonly prompt: string; readonly password: boolean };
  readonly error?: CellError;
  readonly ended?: Cell;
  readonly lostBytes?: number;
}

/** What a test waits for comes sooner. */
const followMsMax = 30_000;

/** A session's path, or one below it. */
export function sessionPath(id: string, rest = ""): string {
  return `/api/v1/sessions/${id}${rest}`;
}

export function makeSession(server: Server, spec: object = {}): Promise<Session> {
  return postOk(server, "/api/v1/sessions", spec);
}

export function getSession(server: Server, id: string): Promise<Session> {
  return getOk(server, sessionPath(id));
}

export async function deleteSession({ url }: Server, id: string): Promise<Session> {
  const response = await fetch(`${url}${sessionPath(id)}`, { method: "DELETE" });
  return parseSession(await response.json());
}

/** Runs a cell to its end. */
export function runCell(server: Server, id: string, code: string, more: object = {}) {
  return postOk<Cell>(server, sessionPath(id, "/cells:run"), { code, ...more });
}

export function getCell(server: Server, id: string, cell: number): Promise<Cell> {
  return getOk(server, sessionPath(id, `/cells/${cell}`));
}

/** Interrupts whichever cell runs, or ends one. */
export function interrupt(server: Server, id: string, cell = 0): Promise<Session> {
  return postOk(server, sessionPath(id, ":interrupt"), cell === 0 ? {} : { cell });
}

export function restart(server: Server, id: string): Promise<Session> {
  return postOk(server, sessionPath(id, ":restart"), {});
}

export function answer(server: Server, id: string, cell: number, body: object): Promise<object> {
  return postOk(server, sessionPath(id, `/cells/${cell}:answer`), body);
}

/** Runs a cell, to be followed. */
export function streamCell(server: Server, id: string, code: string, more: object = {}) {
  return post(
    server,
    sessionPath(id, "/cells:stream"),
    { code, ...more },
    { headers: { Accept: "text/event-stream" }, signal: AbortSignal.timeout(followMsMax) },
  );
}

/** What happens in a session after an event. */
export function watchSession({ url }: Server, id: string, after = 0, cell = 0): Promise<Response> {
  return fetch(`${url}${sessionPath(id, `/events?cell=${cell}&after=${after}`)}`, {
    headers: { Accept: "text/event-stream" },
    signal: AbortSignal.timeout(followMsMax),
  });
}

/** The events of a stream to its end, or until the callback says that it is enough. */
export async function followSession(
  response: Response,
  enough: (event: SessionEvent) => unknown = () => false,
): Promise<SessionEvent[]> {
  assert.equal(response.status, 200);
  const events: SessionEvent[] = [];
  for await (const { data } of readSentEvents(response)) {
    const event = parseSessionEvent(data);
    if (event.number === undefined) continue;
    events.push(event);
    if ((await enough(event)) === true) break;
  }
  return events;
}

/** What was printed in these events. */
export function printed(
  events: readonly SessionEvent[],
  stream: "stdout" | "stderr" = "stdout",
): string {
  return events.map((event) => event[stream]?.text ?? "").join("");
}

/** A result's form of a media type. */
export function formOf(result: Result | undefined, mimeType = "text/plain"): string | undefined {
  const part = result?.parts.find((one) => one.mimeType === mimeType);
  return part?.text ?? part?.base64;
}

/** The value of a cell, as text. */
export function valueOf(cell: Cell): string | undefined {
  return formOf(cell.results.find(({ main }) => main));
}

function parseSession(json: unknown): Session {
  return json as Session;
}

function parseSessionEvent(text: string): SessionEvent {
  return JSON.parse(text) as SessionEvent;
}
