// A small HTTP/1.1 load generator on raw sockets: so many connections, each sending its next request when the answer
// to the last one is whole. It costs less than the servers it measures, which a client of more comfort does not.
import { connect, type Socket } from "node:net";
import { answerEnds, requestText } from "./http.ts";

export interface LoadResult {
  readonly requestsPerSecond: number;
  /** Milliseconds, one of each answer. */
  readonly latencies: readonly number[];
}

export interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  readonly durationMs: number;
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
      const ends = answerEnds(buffer);
      if (ends === undefined) return;
      if (buffer.toString("latin1", 9, 12) !== "200") {
        socket.destroy(new Error(`Unexpected answer: ${buffer.toString("latin1", 0, 300)}`));
        return;
      }
      latencies.push(performance.now() - sentAt);
      buffer = buffer.subarray(ends.body);
      send();
    });
  });
}

/** Loads a server for a while. Every answer must have the status 200. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const url = new URL(options.url);
  const request = requestText(url, undefined);
  const begin = performance.now();
  const end = begin + options.durationMs;
  const lanes = Array.from({ length: options.connections }, () =>
    loadConnection(url, request, end),
  );
  const latencies = (await Promise.all(lanes)).flat();
  return { requestsPerSecond: latencies.length / ((performance.now() - begin) / 1000), latencies };
}
