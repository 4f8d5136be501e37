// One HTTP/1.1 connection on a raw socket, for one call after another: what is measured is to be the server, not a
// client of more comfort.
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { answerEnds, requestText } from "./http.ts";

/** An answer, and how long it took from the request's first byte to its own last. */
export interface Answer {
  readonly ms: number;
  readonly status: number;
  readonly body: string;
}

export class Client {
  readonly #origin: string;
  #socket: Socket | undefined;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Posts JSON, or gets where there is none; rejects when the connection breaks. One call at a time. */
  async call(path: string, body?: string): Promise<Answer> {
    const url = new URL(path, this.#origin);
    const socket = await this.#connected(url);
    const request = requestText(url, body);
    return new Promise((resolve, reject) => {
      let buffer: Buffer = Buffer.alloc(0);
      const begin = performance.now();
      const onData = (chunk: Buffer) => {
        buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
        const ends = answerEnds(buffer);
        if (ends === undefined) return;
        const ms = performance.now() - begin;
        stop();
        const status = Number(buffer.toString("latin1", 9, 12));
        resolve({ ms, status, body: buffer.toString("utf8", ends.head, ends.body) });
      };
      const onClose = () => {
        stop();
        reject(new Error(`The connection for ${path} was closed.`));
      };
      const stop = () => socket.off("data", onData).off("close", onClose);
      socket.on("data", onData).on("close", onClose);
      socket.write(request);
    });
  }

  /** Breaks the connection, whatever is under way; the next call makes a new one. */
  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #connected(url: URL): Promise<Socket> {
    if (this.#socket?.destroyed === false) return this.#socket;
    const socket = connect(Number(url.port), url.hostname);
    this.#socket = socket;
    socket.setNoDelay(true);
    await once(socket, "connect");
    socket.on("error", () => socket.destroy());
    return socket;
  }
}
