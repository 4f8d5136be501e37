// `process.Process`: what E2B's SDKs call to run commands and terminals, over ProcessService.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Process,
  type ProcessEvent,
  type ProcessService,
} from "@syla/contract/syla/sandbox/v1/process";
import type { Client } from "@syla/kit/client";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { Refusal } from "./errors.ts";
import type { Fields } from "./fields.ts";
import { absolute, inside } from "./home.ts";
import type { Call, Methods } from "./rpc.ts";

type Processes = Client<typeof ProcessService>;

const signals: ReadonlyMap<string, string> = new Map([
  ["SIGNAL_SIGTERM", "SIGTERM"],
  ["SIGNAL_SIGKILL", "SIGKILL"],
  ["15", "SIGTERM"],
  ["9", "SIGKILL"],
]);

/** Of processes that no command of E2B's user started: the interpreters of sessions. */
const sessionTag = "session";

/** The methods of `process.Process`. */
export function processMethods(processes: Processes): Methods {
  const keepalive = { event: { keepalive: {} } };
  return {
    unary: {
      List: async ({ sandbox, context }) => {
        const all = await processes.listProcesses({ sandbox }, { parent: context });
        const shown = all.processes.filter(({ running, tag }) => running && tag !== sessionTag);
        return { processes: shown.map(listed) };
      },
      SendInput: async (call) => {
        const process = await find(processes, call);
        const input = call.fields.inside("input");
        const value = input.bytes(input.has("pty") ? "pty" : "stdin");
        const data = { case: "base64", value } as const;
        await processes.writeInput({ ...process, data }, { parent: call.context });
        return {};
      },
      CloseStdin: async (call) => {
        const process = await find(processes, call);
        await processes.writeInput({ ...process, end: true }, { parent: call.context });
        return {};
      },
      SendSignal: async (call) => {
        const process = await find(processes, call);
        const signal = signals.get(nameOf(call.fields));
        if (signal === undefined) throw new Refusal("unimplemented", "invalid signal");
        await processes.signalProcess({ ...process, signal }, { parent: call.context });
        return {};
      },
      Update: async (call) => {
        const process = await find(processes, call);
        const terminal = sizeOf(call.fields.inside("pty"));
        await processes.resizeTerminal({ ...process, terminal }, { parent: call.context });
        return {};
      },
    },
    streams: {
      Start: { keepalive, handle: (call) => start(processes, call) },
      Connect: { keepalive, handle: (call) => connect(processes, call) },
    },
  };
}

// An enumeration of proto3 is a name or a number.
function nameOf(fields: Fields): string {
  try {
    return fields.text("signal");
  } catch {
    return String(fields.count("signal"));
  }
}

function listed({ command, args, pid, tag }: Process): object {
  return { config: { cmd: command, args, envs: {} }, pid, ...(tag === "" ? {} : { tag }) };
}

function sizeOf(pty: Fields): { columns: number; rows: number } {
  const size = pty.inside("size");
  return { columns: size.count("cols"), rows: size.count("rows") };
}

/** The process that is meant: one that runs, or for a reader the last that did. */
async function find(
  processes: Processes,
  { sandbox, fields, context }: Call,
  ended = false,
): Promise<{ sandbox: string; id: number }> {
  const selector = fields.inside("process");
  const [pid, tag] = [selector.count("pid"), selector.text("tag")];
  const all = await processes.listProcesses({ sandbox, tag }, { parent: context });
  const meant = all.processes.filter((process) => tag !== "" || process.pid === pid);
  const found = meant.findLast(({ running }) => running) ?? (ended ? meant.at(-1) : undefined);
  if (found !== undefined) return { sandbox, id: found.id };
  const what = tag === "" ? `pid ${pid}` : `tag ${tag}`;
  throw new Refusal("not_found", `process with ${what} not found`);
}

/** Runs a command. Its caller's time bounds the command; its caller's leaving does not end it. */
async function* start(
  processes: Processes,
  { sandbox, fields, context, timeoutMs }: Call,
): AsyncGenerator<object> {
  const process = fields.inside("process");
  const cwd = absolute(process.text("cwd"));
  const spec = {
    command: process.text("cmd"),
    args: process.texts("args"),
    // A shell that is told where it is says so by the same name, and not by that of the link's end.
    env: { PWD: cwd, E2B_SANDBOX_ID: sandbox, ...process.map("envs") },
    directory: inside(cwd),
    tag: fields.text("tag"),
    input: fields.has("stdin") ? fields.flag("stdin") : true,
    ...(fields.has("pty") ? { terminal: sizeOf(fields.inside("pty")) } : {}),
    ...(timeoutMs === undefined ? {} : { timeout: durationFromMs(timeoutMs) }),
  };
  const events = processes.startProcessStream({ sandbox, spec }, { parent: context });
  for await (const event of translated(events, false)) yield event;
}

/** Follows a process from its first output that is held, and not from now as E2B does: what was missed is there. */
async function* connect(processes: Processes, call: Call): AsyncGenerator<object> {
  const { context: parent, timeoutMs } = call;
  const process = await find(processes, call, true);
  const options = {
    parent,
    ...(timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }),
  };
  const { pid, terminal } = await processes.getProcess(process, { parent });
  yield { event: { start: { pid } } };
  const events = processes.watchProcess(process, options);
  for await (const event of translated(events, terminal !== undefined)) {
    if (!("start" in event.event)) yield event;
  }
}

async function* translated(
  events: AsyncIterable<ProcessEvent>,
  terminal: boolean,
): AsyncGenerator<{ event: object }> {
  let isTerminal = terminal;
  let following = false;
  for await (const { event } of events) {
    if (event.case === "started") {
      isTerminal = event.value.terminal !== undefined;
      yield { event: { start: { pid: event.value.pid } } };
    } else if (event.case === "stdout" || event.case === "stderr") {
      const stream = isTerminal ? "pty" : event.case;
      yield { event: { data: { [stream]: bytesOf(event.value).toString("base64") } } };
    } else if (event.case === "lostBytes" && following) {
      const lost = `the reader was too slow, and ${event.value} bytes of output are lost`;
      throw new Refusal("data_loss", lost);
    } else if (event.case === "ended") {
      yield { event: { end: endOf(event.value) } };
    }
    following = true;
  }
}

// As Go, in which E2B's side of a sandbox is written, calls signals.
const signalWords: ReadonlyMap<string, string> = new Map([
  ["SIGHUP", "hangup"],
  ["SIGINT", "interrupt"],
  ["SIGQUIT", "quit"],
  ["SIGILL", "illegal instruction"],
  ["SIGTRAP", "trace/breakpoint trap"],
  ["SIGABRT", "aborted"],
  ["SIGBUS", "bus error"],
  ["SIGFPE", "floating point exception"],
  ["SIGKILL", "killed"],
  ["SIGUSR1", "user defined signal 1"],
  ["SIGSEGV", "segmentation fault"],
  ["SIGUSR2", "user defined signal 2"],
  ["SIGPIPE", "broken pipe"],
  ["SIGALRM", "alarm clock"],
  ["SIGTERM", "terminated"],
]);

function endOf({ exitCode, signal = "", endReason }: Process): object {
  if (endReason === "timeout") {
    throw new Refusal("deadline_exceeded", "the command took longer than its timeout");
  }
  if (endReason !== undefined) {
    throw new Refusal("unavailable", "the sandbox ended while the command ran");
  }
  if (exitCode !== undefined) {
    const status = `exit status ${exitCode}`;
    return { exitCode, exited: true, status, ...(exitCode === 0 ? {} : { error: status }) };
  }
  const status = `signal: ${signalWords.get(signal) ?? signal}`;
  return { exitCode: -1, exited: false, status, error: status };
}
