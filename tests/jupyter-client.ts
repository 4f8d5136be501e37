// JupyterLab's own client, pointed at a platform of the tests, and what a test reads of its messages.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Kernel,
  KernelManager,
  type KernelMessage,
  ServerConnection,
  SessionManager,
} from "@jupyterlab/services";
import type { Platform } from "./platform.ts";

/** The token of a platform, as its user would copy it. */
export function tokenOf({ data }: Platform): string {
  return readFileSync(join(data, "api-key"), "utf8").trim();
}

/** Where the client is to go, and as whom. */
export function settingsFor(platform: Platform, token = tokenOf(platform)) {
  const baseUrl = `${platform.url}/jupyter/`;
  return ServerConnection.makeSettings({ baseUrl, token, appendToken: true });
}

/** The client's managers; they look at the server in the background until they are disposed of. */
export class Front {
  readonly settings: ServerConnection.ISettings;
  readonly kernels: KernelManager;
  readonly sessions: SessionManager;

  constructor(platform: Platform) {
    this.settings = settingsFor(platform);
    const serverSettings = this.settings;
    this.kernels = new KernelManager({ serverSettings, standby: "never" });
    this.sessions = new SessionManager({
      ...{ serverSettings, standby: "never", kernelManager: this.kernels },
    });
  }

  /** Another connection to a kernel, as another person's. */
  connect({ id, name }: Kernel.IKernelConnection): Kernel.IKernelConnection {
    return this.kernels.connectTo({ model: { id, name } });
  }

  dispose(): void {
    this.sessions.dispose();
    this.kernels.dispose();
  }
}

/** Opens a kernel for a test. */
export async function withKernel(
  platform: Platform,
  work: (kernel: Kernel.IKernelConnection, front: Front) => Promise<void>,
): Promise<void> {
  const front = new Front(platform);
  try {
    await front.kernels.ready;
    const kernel = await front.kernels.startNew({ name: "python3" });
    await kernel.info;
    try {
      await work(kernel, front);
    } finally {
      if (!kernel.isDisposed) await kernel.shutdown();
    }
  } finally {
    front.dispose();
  }
}

/** A message's content; what is asked for is what the test expects. */
export type Content = Readonly<Record<string, unknown>>;

/** What came of a request. */
export interface Outcome {
  readonly reply: Content;
  /** Types of what was published, in order. */
  readonly types: readonly string[];
  readonly published: readonly { readonly type: string; readonly content: Content }[];
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs code as a notebook does; answers what the client asks of its user. */
export async function execute(
  kernel: Kernel.IKernelConnection,
  code: string,
  options: {
    readonly answers?: readonly string[];
    readonly request?: Omit<Partial<KernelMessage.IExecuteRequestMsg["content"]>, "code">;
    readonly onPublished?: (type: string, content: Content) => void;
  } = {},
): Promise<Outcome> {
  const { answers = [], request = {}, onPublished } = options;
  const left = [...answers];
  const published: { type: string; content: Content }[] = [];
  const future = kernel.requestExecute({ code, stop_on_error: true, ...request });
  future.onIOPub = ({ header, content }) => {
    published.push({ type: header.msg_type, content: parseContent(content) });
    onPublished?.(header.msg_type, parseContent(content));
  };
  future.onStdin = ({ header, content }) => {
    assert.equal(header.msg_type, "input_request");
    published.push({ type: header.msg_type, content: parseContent(content) });
    const value = left.shift() ?? "";
    future.sendInputReply({ value, status: "ok" }, parseHeader(header));
  };
  const { content } = await future.done;
  return {
    ...{ reply: parseContent(content), types: published.map(({ type }) => type), published },
    ...{ stdout: printed(published, "stdout"), stderr: printed(published, "stderr") },
  };
}

/** The content of the first message of a type. */
export function firstOf({ published }: Pick<Outcome, "published">, type: string): Content {
  const found = published.find((one) => one.type === type);
  assert.ok(found !== undefined, `a message ${type}`);
  return found.content;
}

/** The forms of a result. */
export function dataOf(outcome: Pick<Outcome, "published">, type = "execute_result"): Content {
  return parseContent(firstOf(outcome, type)["data"]);
}

function printed(published: Outcome["published"], name: string): string {
  const streams = published.filter(({ type, content }) => {
    return type === "stream" && content["name"] === name;
  });
  return streams.map(({ content }) => String(content["text"])).join("");
}

/** A content as the fields that a test looks at. */
export function parseContent(content: unknown): Content {
  return content as Content;
}

function parseHeader(header: unknown): KernelMessage.IInputRequestMsg["header"] {
  return header as KernelMessage.IInputRequestMsg["header"];
}
