// A small HTTP/1.1 load generator on raw sockets: so many connections, each sending its next request when the answer
// to the last one is whole. It costs less than the servers it measures, which a client of more comfort does not.
import { connect, type Socket } from "node:net";

export interface LoadResult {
  readonly requestsPerSecond: number;
  /** Milliseconds, one of each answer. */
  readonly latencies: readonly number[];
}

export interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Sent as JSON by POST; GET without. */
  readonly body?: string;
}

function requestText(url: URL, body: string | undefined): string {
  const verb = body === undefined ? "GET" : "POST";
  const head = `${verb} ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n`;
  if (body === undefined) return `${head}\r\n`;
  const length = Buffer.byteLength(body);
  return `${head}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** The length of the first whole answer in a buffer, or undefined while it is not whole. */
function answerLength(buffer: Buffer): number | undefined {
  const headEnd = buffer.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const length = /content-length: (\d+)/i.exec(buffer.toString("latin1", 0, headEnd))?.[1];
  if (length === undefined) throw new Error("Cannot measure: an answer has no Content-Length.");
  const end = headEnd + 4 + Number(length);
  return buffer.length >= end ? end : undefined;
}

/** Keeps one connection busy until a moment of `performance.now()`; answers each latency in milliseconds. */
function loadConnection(url: URL, request: string, end: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const latencies: number[] = [];
    const socket: Socket = connect(Number(url.port), url.hostname);
    let buffer = Buffer.alloc(0);
    let sentAt = 0;
    const send = () => {
      sentAt = performance.now();
      if (sentAt >= end) socket.end();
      else socket.write(request);
    };
    socket.setNoDelay(true);
    socket.once("connect", send);
    socket.once("error", reject);
    socket.once("close", () => resolve(latencies));
    socket.on("data", (chunk) => {
      buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
      const length = answerLength(buffer);
      if (length === undefined) return;
      if (buffer.toString("latin1", 9, 12) !== "200") {
        socket.destroy(new Error(`Unexpected answer: ${buffer.toString("latin1", 0, 300)}`));
        return;
      }
      latencies.push(performance.now() - sentAt);
      buffer = buffer.subarray(length);
      send();
    });
  });
}

/** Loads a server for a while. Every answer must have the status 200. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const url = new URL(options.url);
  const request = requestText(url, options.body);
  const begin = performance.now();
  const end = begin + options.durationMs;
  const lanes = Array.from({ length: options.connections }, () =>
    loadConnection(url, request, end),
  );
  const latencies = (await Promise.all(lanes)).flat();
  return { requestsPerSecond: latencies.length / ((performance.now() - begin) / 1000), latencies };
}
