// Carries one request to a server in a sandbox and its answer back, each piece by piece as the other side takes it.
// Node's HTTP client writes and reads the messages; here they get their heads, and their ends.
import {
  type ClientRequest,
  type IncomingMessage,
  request as createRequest,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { Duplex } from "node:stream";
import { SylaError } from "@syla/kit/error";
import { flat, type Header } from "./headers.ts";
import { requestHead, upgradeHead } from "./request-head.ts";
import { responseHead } from "./response-head.ts";
import type { Target } from "./target.ts";

const switching = 101;

export interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: Target;
  /** The connection to the server. */
  readonly tunnel: Duplex;
  /** Where the sockets are listed whose answers have no end of their own. */
  readonly endless: Set<Duplex>;
  /** The largest head of an answer, in bytes. */
  readonly headBytesMax: number;
}

/** Resolves when the answer has been carried, or broke off after its head; rejects when there is none. */
export async function forward(visit: Visit): Promise<void> {
  const { request, tunnel } = visit;
  const outgoing = clientRequest(visit, requestHead(request, visit.target));
  // It may wait for them before it says what it takes.
  outgoing.flushHeaders();
  // A server may answer and leave before it has read all: that is its answer, not an error.
  request.pipe(outgoing);
  try {
    await carryAnswer(visit, await answerOf(outgoing));
  } finally {
    request.unpipe(outgoing);
    outgoing.destroy();
    tunnel.destroy();
  }
}

/** Resolves when a WebSocket is open or refused by the server; rejects when there is no answer. */
export async function forwardUpgrade(
  visit: Visit,
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  const { request, target, tunnel } = visit;
  const outgoing = clientRequest(visit, upgradeHead(request, target));
  const upgraded = new Promise<Upgraded>((resolve) => {
    outgoing.once("upgrade", (answer, _tunnel, first) => resolve({ answer, first }));
  });
  outgoing.end();
  try {
    const answer = await Promise.race([answerOf(outgoing), upgraded]);
    if (!("first" in answer)) return await carryAnswer(visit, answer);
    visit.response.detachSocket(request.socket);
    socket.write(switchingHead(responseHead(request, answer.answer, target)));
    socket.write(answer.first);
    tunnel.write(head);
    visit.endless.add(socket);
    await joined(socket, tunnel);
    visit.endless.delete(socket);
  } finally {
    tunnel.destroy();
  }
}

interface Upgraded {
  readonly answer: IncomingMessage;
  readonly first: Buffer;
}

function clientRequest({ request, target, tunnel, headBytesMax }: Visit, headers: string[]) {
  const outgoing = createRequest({
    createConnection: () => tunnel,
    method: request.method ?? "GET",
    path: target.path,
    // A list, so that repeated headers stay what they are.
    headers,
    setHost: false,
    maxHeaderSize: headBytesMax,
  });
  // What goes wrong after the answer's head is heard of by its stream.
  outgoing.on("error", () => undefined);
  return outgoing;
}

function answerOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.once("error", (error) => reject(broken(error)));
    outgoing.once("close", () => reject(broken(undefined)));
  });
}

function broken(cause: Error | undefined): SylaError {
  if (cause instanceof SylaError) return cause;
  const message = "Cannot make sense of what the port answers: it is no HTTP, or broke off.";
  return new SylaError("port_broken", message, { cause });
}

function carryAnswer(
  { request, response, target, endless }: Visit,
  answer: IncomingMessage,
): Promise<void> {
  const status = answer.statusCode ?? 502;
  const head = flat(responseHead(request, answer, target));
  // What it does not read now it will not: the connection could not be used for another request.
  if (!request.complete) response.shouldKeepAlive = false;
  response.sendDate = answer.headers.date === undefined;
  try {
    response.writeHead(status, head);
  } catch (cause) {
    throw broken(cause instanceof Error ? cause : undefined);
  }
  response.flushHeaders();
  // Its readers come back by themselves.
  const isEndless = /^text\/event-stream\b/i.test(answer.headers["content-type"] ?? "");
  if (isEndless) endless.add(request.socket);
  return new Promise((resolve) => {
    // Cut short on one side it is cut short on the other: nobody takes a part for the whole.
    answer.on("close", () => {
      if (!answer.complete) response.destroy();
    });
    answer.on("error", () => response.destroy());
    response.on("error", () => response.destroy());
    response.on("close", () => {
      answer.destroy();
      endless.delete(request.socket);
      resolve();
    });
    answer.pipe(response);
  });
}

function switchingHead(headers: readonly Header[]): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const start = `HTTP/1.1 ${switching} ${STATUS_CODES[switching]}`;
  return [start, "Connection: Upgrade", "Upgrade: websocket", ...lines, "", ""].join("\r\n");
}

function joined(socket: Duplex, tunnel: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      socket.destroy();
      tunnel.destroy();
      resolve();
    };
    for (const side of [socket, tunnel]) {
      side.on("error", end);
      side.on("close", end);
    }
    socket.pipe(tunnel);
    tunnel.pipe(socket);
  });
}
