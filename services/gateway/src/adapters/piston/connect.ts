// Piston's `/connect`: one job on one WebSocket, which talks to whoever runs it. Frames and close codes are Piston's;
// one thing is added, without which no program ever sees the end of its input: `"end": true` beside the data.
import { constants } from "node:os";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import { type SylaError, toSylaError } from "@syla/kit/error";
import { parseJson, type Peer } from "../../adapters.ts";
import { type Interactive, InteractiveJob, RefusedJob } from "./interactive.ts";
import { type PistonLimits, readJob } from "./request.ts";
import type { Runtime } from "./runtimes.ts";

export interface ConnectOptions {
  readonly interactive: Interactive;
  readonly limits: PistonLimits & { readonly pistonOutputBytes: number };
  readonly runtimesOf: (context: CallContext) => Promise<readonly Runtime[]>;
  /** An error in words for the client. */
  readonly wordOf: (error: SylaError) => string;
}

const initMsMax = 1000;
const closes = {
  alreadyInitialized: [4000, "Already Initialized"],
  initializationTimeout: [4001, "Initialization Timeout"],
  notifiedError: [4002, "Notified Error"],
  notYetInitialized: [4003, "Not yet initialized"],
  onlyStdin: [4004, "Can only write to stdin"],
  invalidSignal: [4005, "Invalid signal"],
  completed: [4999, "Job Completed"],
} as const;

/** Serves one connection. */
export function serveConnect(options: ConnectOptions, peer: Peer, context: CallContext): void {
  const session = new Session(options, peer, context);
  const late = setTimeout(() => session.close("initializationTimeout"), initMsMax);
  peer.isIdle = () => session.isIdle;
  peer.onClose(() => clearTimeout(late));
  peer.onText((text) => {
    if (session.take(text)) clearTimeout(late);
  });
}

class Session {
  readonly #options: ConnectOptions;
  readonly #peer: Peer;
  readonly #context: CallContext;
  #job: InteractiveJob | undefined;
  #over = false;

  constructor(options: ConnectOptions, peer: Peer, context: CallContext) {
    this.#options = options;
    this.#peer = peer;
    this.#context = context;
  }

  get isIdle(): boolean {
    return this.#over || this.#job === undefined;
  }

  /** Takes a frame; answers whether the job is begun. */
  take(text: string): boolean {
    if (this.#over) return true;
    try {
      this.#takeFrame(parseFrame(text));
    } catch (thrown) {
      void this.#fail(thrown);
    }
    return this.#over || this.#job !== undefined;
  }

  close(why: keyof typeof closes): void {
    this.#over = true;
    this.#job?.end();
    const [code, reason] = closes[why];
    this.#peer.close(code, reason);
  }

  #takeFrame(frame: JsonObject): void {
    const job = this.#job;
    if (frame["type"] === "init") {
      if (job !== undefined) return this.close("alreadyInitialized");
      return void this.#begin(frame);
    }
    // As Piston does: what is not known means nothing.
    if (frame["type"] !== "data" && frame["type"] !== "signal") return;
    if (job === undefined) return this.close("notYetInitialized");
    if (frame["type"] === "signal") {
      const { signal } = frame;
      if (typeof signal !== "string" || !Object.hasOwn(constants.signals, signal)) {
        return this.close("invalidSignal");
      }
      return void job.signal(signal);
    }
    if (frame["stream"] !== "stdin") return this.close("onlyStdin");
    job.write(textOf(frame["data"]), frame["end"] === true);
  }

  async #begin(frame: JsonObject): Promise<void> {
    const { interactive, limits, runtimesOf } = this.#options;
    const job = new InteractiveJob({
      ...{ interactive, context: this.#context, outputBytesMax: limits.pistonOutputBytes },
      tell: (message) => this.#tell(message),
    });
    this.#job = job;
    try {
      const asked = readJob(frame, await runtimesOf(this.#context), limits);
      if ("refused" in asked) throw new RefusedJob(asked.refused);
      const { language, version } = asked.runtime;
      await this.#tell({ type: "runtime", language, version });
      const stdin = textOf(frame["stdin"]);
      if (stdin !== "") job.write(stdin, false);
      await job.run(asked);
      if (!this.#over) this.close("completed");
    } catch (thrown) {
      await this.#fail(thrown);
    } finally {
      this.#over = true;
      this.#peer.rest();
    }
  }

  async #tell(message: object): Promise<void> {
    if (!this.#over) await this.#peer.send(JSON.stringify(message));
  }

  async #fail(thrown: unknown): Promise<void> {
    if (this.#over) return;
    const { wordOf } = this.#options;
    const message = thrown instanceof RefusedJob ? thrown.message : wordOf(toSylaError(thrown));
    await this.#tell({ type: "error", message });
    this.close("notifiedError");
  }
}

function parseFrame(text: string): JsonObject {
  const value: JsonValue = parseJson(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new RefusedJob("a frame is a JSON object");
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
