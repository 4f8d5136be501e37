// A process of a sandbox: from its start to what it left to be read.
import { constants } from "node:os";
import { clone, create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Process,
  type ProcessEvent,
  type ProcessOutput,
  ProcessOutputSchema,
  ProcessSchema,
  type ProcessSpec,
  type Terminal,
} from "@syla/contract/syla/sandbox/v1/process";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import type { CgroupSlot } from "../cgroup/cgroup.ts";
import { SylaError } from "@syla/kit/error";
import { textOrBytes } from "@syla/kit/text-or-bytes";
import { incompleteTail } from "@syla/kit/utf8";
import {
  type Channel,
  type Channels,
  InputClosedError,
  RefusedError,
  windowed,
} from "../jail/channels.ts";
import { watchCpu } from "../jail/cpu.ts";
import { DEFAULT_ENVIRONMENT, processLimitsOf } from "../jail/step.ts";
import { type Output, OUTPUTS, type ProcessExit } from "../jail/keep-frames.ts";
import { type ProcessEventInit, ProcessLog } from "./log.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";
import { signalName, signalNumber } from "../jail/signals.ts";

/** How much output may be on its way from the jail, of each stream. */
const windowBytes = 256 * 1024;

const none = Buffer.alloc(0);

export interface ProcessOptions {
  readonly id: number;
  readonly sandbox: string;
  readonly spec: ProcessSpec;
  /** The sandbox's own variables, under the process's. */
  readonly env: Readonly<Record<string, string>>;
  /** What its sandbox may use, and uses. */
  readonly slot: CgroupSlot;
  readonly channels: Channels;
  /** How much output is held for those who come later, in bytes. */
  readonly outputBytesMax: number;
  readonly clock: Clock;
}

/** One process. */
export class SandboxProcess {
  /** What is known of it now. */
  readonly message: Process;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #end = Promise.withResolvers<void>();
  readonly #channel: Channel;
  readonly #log: ProcessLog;
  readonly #clock: Clock;
  readonly #used: Partial<Record<Output, (bytes: number) => void>> = {};
  readonly #tails: Record<Output, Buffer> = { stdout: none, stderr: none, words: none };
  readonly #cpuMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cpu: { stop: () => void } | undefined;
  #endReason: string | undefined;

  private constructor(options: ProcessOptions) {
    const { id, sandbox, spec, clock, channels } = options;
    this.#clock = clock;
    this.#cpuMs = spec.cpuTime && durationMs(spec.cpuTime);
    this.#log = new ProcessLog({ bytesMax: options.outputBytesMax, clock });
    this.ended = this.#end.promise;
    this.message = create(ProcessSchema, {
      ...{ id, sandbox, command: spec.command, args: spec.args, tag: spec.tag, running: true },
      ...(spec.terminal === undefined ? {} : { terminal: spec.terminal }),
      startedAt: timestampFromMs(clock.now()),
    });
    this.#channel = channels.start(requestOf(options), {
      begun: (pid) => this.#onBegun(pid),
      output: (output, data) => this.#onOutput(output, data),
      outputEnd: (output) => this.#flush(output),
      exited: (exit) => this.#onExit(exit),
    });
    for (const output of OUTPUTS) {
      if (output === "words" && !spec.words) continue;
      this.#used[output] = windowed(this.#channel, output, windowBytes);
    }
    void this.#channel.released.then(() => this.#onEnd());
  }

  /** Starts a process; resolves when it runs, throws `process_not_started` when it cannot. */
  static async start(options: ProcessOptions): Promise<SandboxProcess> {
    const started = new SandboxProcess(options);
    try {
      await started.#channel.begun;
    } catch (error) {
      throw notStarted(options.spec, error);
    }
    started.#expire(options.spec, options.slot);
    return started;
  }

  /** Its numbered events after a number. */
  watch(after: number, context: CallContext): AsyncGenerator<ProcessEvent> {
    return this.#log.watch(after, context);
  }

  /** Resolves when the process has room for more. */
  async write(data: Uint8Array, end: boolean): Promise<void> {
    try {
      await this.#channel.write(data);
    } catch (error) {
      if (!(error instanceof InputClosedError)) throw error;
      throw new SylaError(
        "process_input_closed",
        `Cannot write to process ${this.message.id}: its input is closed.`,
      );
    }
    if (end) this.#channel.endInput();
  }

  /** To the whole group. */
  signal(name: string): void {
    const number = signalNumber(name);
    if (number === undefined) {
      const detail = "is no signal of this system, such as SIGINT or SIGKILL";
      throw new SylaError("invalid_request", `${name} ${detail}.`, {
        violations: [{ pointer: "/signal", detail, rule: "signal" }],
      });
    }
    this.#channel.signal(number, true);
  }

  resize(terminal: Terminal): void {
    if (this.message.terminal === undefined) {
      throw new SylaError(
        "process_without_terminal",
        `Cannot resize process ${this.message.id}: it was started without a terminal.`,
      );
    }
    this.message.terminal = terminal;
    this.#channel.resize(terminal);
  }

  /** Ends it and all that it started in its group. */
  kill(reason?: string): void {
    if (this.message.running) this.#endReason ??= reason;
    this.#channel.signal(constants.signals.SIGKILL, true);
  }

  #expire({ timeout }: ProcessSpec, slot: CgroupSlot): void {
    if (!this.message.running) return;
    if (timeout !== undefined) {
      this.#timer = setTimeout(() => this.kill("timeout"), durationMs(timeout));
    }
    const exceeded = () => this.kill("cpu_time");
    this.#cpu = watchCpu({ slot, cpuMs: this.#cpuMs, exceeded });
  }

  #onBegun(pid: number | undefined): void {
    this.message.pid = pid ?? 0;
    this.#add({ case: "started", value: clone(ProcessSchema, this.message) }, 0);
  }

  #onOutput(output: Output, data: Buffer): void {
    // Of what it started and did not wait for; whoever wants to read that keeps it in the foreground.
    if (!this.message.running) return this.#used[output]?.(data.length);
    const held = this.#tails[output];
    const bytes = held.length === 0 ? data : Buffer.concat([held, data]);
    const tail = incompleteTail(bytes);
    this.#tails[output] = bytes.subarray(bytes.length - tail);
    this.#append(output, bytes.subarray(0, bytes.length - tail), data.length);
  }

  /** `arrived` of the bytes came now, and are granted anew when they are seen. */
  #append(stream: Output, bytes: Buffer, arrived: number): void {
    const seen = () => this.#used[stream]?.(arrived);
    if (bytes.length === 0) seen();
    else this.#add({ case: stream, value: outputOf(bytes) }, bytes.length, seen);
  }

  #add(event: ProcessEventInit, bytes: number, seen?: () => void): void {
    this.message.lastEvent = this.#log.append(event, bytes, seen).number;
  }

  /** The beginning of a character that did not come whole is not one. */
  #flush(output: Output): void {
    if (this.#tails[output].length === 0 || !this.message.running) return;
    const tail = this.#tails[output];
    this.#tails[output] = none;
    this.#append(output, tail, 0);
  }

  #onExit({ kind, code }: ProcessExit): void {
    const { message } = this;
    if (kind === "exited") message.exitCode = code;
    else message.signal = signalName(code) ?? `SIG${code}`;
    if (this.#cpuMs !== undefined && message.signal === "SIGXCPU") this.#endReason ??= "cpu_time";
    this.#finish();
  }

  /** Also when no exit was told: it has ended with the sandbox. */
  #onEnd(): void {
    if (!this.message.running) return;
    this.message.signal = "SIGKILL";
    this.#endReason ??= "killed";
    this.#finish();
  }

  #finish(): void {
    const { message } = this;
    clearTimeout(this.#timer);
    this.#cpu?.stop();
    for (const output of OUTPUTS) this.#flush(output);
    message.running = false;
    message.endedAt = timestampFromMs(this.#clock.now());
    if (this.#endReason !== undefined) message.endReason = this.#endReason;
    message.lastEvent += 1;
    this.#add({ case: "ended", value: clone(ProcessSchema, message) }, 0);
    this.#log.close();
    this.#end.resolve();
  }
}

function outputOf(bytes: Buffer): ProcessOutput {
  return create(ProcessOutputSchema, { data: textOrBytes(bytes) });
}

function requestOf({ spec, env, slot }: ProcessOptions) {
  const cpuMs = spec.cpuTime && durationMs(spec.cpuTime);
  const terminal = spec.terminal && { columns: spec.terminal.columns, rows: spec.terminal.rows };
  return {
    argv: [spec.command, ...spec.args],
    env: {
      ...DEFAULT_ENVIRONMENT,
      ...(terminal === undefined ? {} : { TERM: "xterm-256color" }),
      ...env,
      ...spec.env,
    },
    directory: directoryOf(spec.directory),
    ...processLimitsOf(slot, { cpuMs }),
    ...{ input: spec.input, terminal, words: spec.words, fork: false },
  };
}

function directoryOf(directory: string): string {
  return directory.startsWith("/") ? directory : `${WORK_DIRECTORY}/${directory}`;
}

const reasons: ReadonlyMap<number, string> = new Map([
  [constants.errno.ENOENT, "there is no such file or folder"],
  [constants.errno.EACCES, "it may not be executed, or its folder not be entered"],
  [constants.errno.ENOEXEC, "it is no program that this system can execute"],
  [constants.errno.ENOTDIR, "its folder is none"],
  [constants.errno.E2BIG, "its arguments and variables are too long"],
  [constants.errno.EAGAIN, "the sandbox has as many processes as it may have"],
  [constants.errno.ENOMEM, "the sandbox has no memory left"],
]);

function notStarted({ command }: ProcessSpec, error: unknown): unknown {
  if (!(error instanceof RefusedError)) return error;
  const why = reasons.get(error.errno) ?? `error ${error.errno}`;
  const what = error.stage === "directory" ? " in its folder" : "";
  return new SylaError("process_not_started", `Cannot start ${command}${what}: ${why}.`);
}
