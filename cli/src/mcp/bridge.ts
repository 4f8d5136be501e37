// Hands messages of the Model Context Protocol to a platform by HTTP, each in a request of its own, and writes what
// comes back, in JSON or as server-sent events. It knows of a message no more than its id and its method.
import { linesOf } from "../lines.ts";

/** What a bridge is made of. */
export interface McpBridgeOptions {
  /** The platform. */
  readonly url: string;
  /** Sent to it as a bearer token. */
  readonly token: string | undefined;
  /** Takes one message for the client; rejects when nobody reads any more. */
  readonly write: (line: string) => Promise<void>;
}

type Id = string | number;

interface Message {
  /** The requests in it that wait for an answer; a batch has several. */
  readonly ids: readonly Id[];
  /** Those of them that did not get it yet. */
  readonly waiting: Set<Id>;
  /** A request to be forgotten. */
  readonly cancels: Id | undefined;
  readonly isInitialize: boolean;
}

// More than a client has any use for at one time.
const openMax = 64;
const codes = { parse: -32_700, internal: -32_603 } as const;

/** A client's way to a platform. */
export class McpBridge {
  /** Resolves when nobody reads the answers any more. */
  readonly failed: Promise<void>;
  hasFailed = false;
  readonly #options: McpBridgeOptions;
  readonly #open = new Map<Id, AbortController>();
  readonly #over = new AbortController();
  readonly #fail: () => void;
  #session: string | undefined;
  #version: string | undefined;

  constructor(options: McpBridgeOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.failed = promise;
    this.#fail = () => {
      this.hasFailed = true;
      resolve();
    };
  }

  /** Takes a message of the client; its answer is written when it comes. */
  take(line: string): void {
    const message = readMessage(line);
    if (message === undefined) return this.#refuse([null], codes.parse, "It is not JSON.");
    // The platform ends a call whose request is gone, so the message that says so has nothing to add; sent on its own
    // way it could be there before what it is about.
    if (message.cancels !== undefined) return this.#open.get(message.cancels)?.abort();
    if (this.#open.size + message.ids.length > openMax) {
      return this.#refuse(message.ids, codes.internal, `Over ${openMax} calls are open.`);
    }
    void this.#send(line, message);
  }

  /** Ends every call. */
  close(): void {
    this.#over.abort();
  }

  async #send(line: string, message: Message): Promise<void> {
    const own = new AbortController();
    for (const id of message.ids) this.#open.set(id, own);
    const signal = AbortSignal.any([own.signal, this.#over.signal]);
    try {
      const response = await fetch(`${this.#options.url}/mcp`, {
        ...{ method: "POST", body: line, headers: this.#headers(), signal, redirect: "error" },
      });
      this.#session = response.headers.get("mcp-session-id") ?? this.#session;
      if (response.ok) await this.#pass(response, message);
      else this.#refuse(message.ids, codes.internal, await refusalOf(response));
      const left = message.ids.filter((id) => message.waiting.has(id));
      if (response.ok) this.#refuse(left, codes.internal, "The call ended without an answer.");
    } catch (thrown) {
      if (signal.aborted) return;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#refuse(message.ids, codes.internal, `Cannot reach ${this.#options.url}: ${why}.`);
    } finally {
      for (const id of message.ids) if (this.#open.get(id) === own) this.#open.delete(id);
    }
  }

  #headers(): Record<string, string> {
    const { token } = this.#options;
    return {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      ...(token === undefined || token === "" ? {} : { Authorization: `Bearer ${token}` }),
      ...(this.#session === undefined ? {} : { "Mcp-Session-Id": this.#session }),
      ...(this.#version === undefined ? {} : { "Mcp-Protocol-Version": this.#version }),
    };
  }

  async #pass(response: Response, message: Message): Promise<void> {
    if (response.body === null || response.status === 202) return void (await response.text());
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
    if (isStream !== true) return this.#hand(await response.text(), message);
    let data: string[] = [];
    for await (const line of linesOf(response.body)) {
      const text = line.replace(/\r$/, "");
      if (text.startsWith("data:")) data.push(text.slice("data:".length).trimStart());
      if (text !== "" || data.length === 0) continue;
      await this.#hand(data.join("\n"), message);
      data = [];
    }
  }

  // Written anew, so that it is one line whoever sent it.
  async #hand(text: string, { isInitialize, waiting }: Message): Promise<void> {
    if (text === "") return;
    const json: unknown = JSON.parse(text);
    for (const { id, method } of messagesIn(json)) {
      if (method === undefined && isId(id)) waiting.delete(id);
    }
    if (isInitialize) this.#version = versionOf(json) ?? this.#version;
    await this.#write(JSON.stringify(json));
  }

  #refuse(ids: readonly (Id | null)[], code: number, message: string): void {
    for (const id of ids) {
      void this.#write(JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } }));
    }
  }

  async #write(line: string): Promise<void> {
    await this.#options.write(line).catch(this.#fail);
  }
}

function readMessage(line: string): Message | undefined {
  try {
    const json: unknown = JSON.parse(line);
    const all = messagesIn(json);
    const [only] = all;
    const { requestId } = fieldsOf(only?.["params"]);
    const isCancel = all.length === 1 && only?.["method"] === "notifications/cancelled";
    const ids = all.flatMap(({ id, method }) => (method !== undefined && isId(id) ? [id] : []));
    return {
      ids,
      waiting: new Set(ids),
      cancels: isCancel && isId(requestId) ? requestId : undefined,
      isInitialize: all.some(({ method }) => method === "initialize"),
    };
  } catch {
    return undefined;
  }
}

// One, or a batch of them.
function messagesIn(json: unknown): readonly Readonly<Record<string, unknown>>[] {
  return (Array.isArray(json) ? json : [json]).map(fieldsOf);
}

function isId(id: unknown): id is Id {
  return typeof id === "string" || typeof id === "number";
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function versionOf(answer: unknown): string | undefined {
  const { protocolVersion } = fieldsOf(fieldsOf(answer)["result"]);
  return typeof protocolVersion === "string" ? protocolVersion : undefined;
}

// The platform tells faults of HTTP as problems, and those of a message in the protocol's own form.
async function refusalOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { detail, error } = fieldsOf(JSON.parse(text));
    const { message } = fieldsOf(error);
    const said = detail ?? message;
    if (typeof said === "string") return said;
  } catch {
    // A proxy's page says nothing that a client could use.
  }
  return `The platform answered ${response.status}.`;
}
