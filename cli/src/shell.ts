// `syla shell`: a terminal in a sandbox, made for it or there already. Without a terminal here, a script that is piped
// in is run there instead.
import { durationFromMs, durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Sandbox } from "@syla/contract/syla/sandbox/v1/sandbox";
import { type ProcessRef, type Syla, SylaError } from "@syla/sdk";
import { type Command, type Flags, parseFlagsAndRest } from "./command.ts";
import { usageFailure } from "./failure.ts";
import { type Interrupt, interruptible } from "./interrupt.ts";
import { note } from "./output.ts";
import { connect, connectRunning } from "./platform.ts";
import { printable } from "./render.ts";
import { givenFlag, readSandboxSpec, sandboxFlags } from "./sandbox/spec.ts";
import { attachedLifetimeMs } from "./sandbox/stay.ts";
import { runInSandbox, tellEnd, type Visit } from "./sandbox/streams.ts";
import { parseCount, formatSpan } from "./size.ts";
import { giveTerminal, isTerminal, terminalSize } from "./terminal/terminal.ts";

const flags = {
  ...sandboxFlags,
  keep: { type: "boolean", default: false, help: "leave the new sandbox there, and say its id" },
  process: {
    type: "string",
    short: "p",
    hint: "N",
    help: "come back to a terminal that is open in SANDBOX",
  },
} as const satisfies Flags;

/** The `shell` command. */
export const shell: Command = {
  usage: "shell [SANDBOX] [FLAGS] [-- COMMAND ARGS…]",
  about: `Opens a terminal in a sandbox: in a new one, which ends with it, or in one that is there. Every
key goes to the inside, Ctrl-C and Ctrl-Z too; the shell's exit code is the command's. Enter ~ .
leaves at once. A shell in a sandbox that stays goes on then, and --process comes back to it.
While you are there, the sandbox is extended. What is piped in is run without a terminal. The
flags but --process are for a new sandbox.`,
  flags,
  examples: [
    ["syla shell", "a fresh sandbox, gone when you leave it"],
    ["syla shell --keep --lifetime 1h -e EDITOR=vi", "one that stays for an hour after you left"],
    ["syla shell 0197a2c4-… --process 1", "back to the terminal that you left"],
    ["syla shell < install.sh", "a script, its exit code passed on"],
    ["syla shell -- python3", "another program than a shell"],
  ],
  execute,
};

// A courtesy of one who leaves; it must not keep him.
const courtesyTimeoutMs = 5_000;

type Values = ReturnType<typeof parseFlagsAndRest<typeof flags>>["values"];

interface Wish {
  readonly values: Values;
  readonly command: readonly string[];
  readonly interrupt: Interrupt;
}

async function execute(args: string[]): Promise<number> {
  const { values, positionals, rest: command } = parseFlagsAndRest(flags, args);
  const [sandbox, extra] = positionals;
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  refuseMistakes(sandbox, values, command);
  return interruptible((interrupt) => {
    const wish = { values, command, interrupt };
    return sandbox === undefined ? inNewSandbox(wish) : inSandbox(sandbox, wish);
  });
}

function refuseMistakes(sandbox: string | undefined, values: Values, command: readonly string[]) {
  const given = values.keep ? "keep" : givenFlag(values);
  if (sandbox !== undefined && given !== undefined) {
    throw usageFailure(`Cannot take --${given} with SANDBOX: it is for a new one.`);
  }
  if (values.secret.some((flag) => flag.endsWith("=-"))) {
    throw usageFailure("Cannot take a secret from standard input: that is the shell's.");
  }
  if (values.process === undefined) return;
  if (sandbox === undefined || command.length > 0) {
    throw usageFailure("--process comes back to what runs in SANDBOX: give that, and no command.");
  }
  if (!isTerminal()) {
    throw usageFailure("--process needs a terminal here; 'syla sandbox logs' shows the output.");
  }
}

async function inNewSandbox({ values, command, interrupt }: Wish): Promise<number> {
  const spec = await readSandboxSpec(values, interrupt.signal);
  // A platform that is started for the call takes its sandboxes with it.
  const { syla, died, close } = values.keep
    ? await connectRunning()
    : await connect(interrupt.signal);
  const signal = AbortSignal.any([interrupt.signal, died]);
  try {
    // Not given the signal: whoever leaves in the middle of this call could not name the sandbox to end it.
    const made = await syla.sandbox.createSandbox({ spec });
    const lifetimeMs =
      spec.lifetime === undefined ? defaultLifetimeMs(made) : durationMs(spec.lifetime);
    try {
      const visit = { syla, sandbox: made.id, interrupt, signal, lifetimeMs };
      return await (isTerminal() ? inTerminal(visit, command, values.keep) : piped(visit, command));
    } finally {
      await (values.keep ? keep(syla, made.id, lifetimeMs) : killQuietly(syla, made.id));
    }
  } catch (thrown) {
    throw died.aborted ? died.reason : thrown;
  } finally {
    await close();
  }
}

async function inSandbox(sandbox: string, { values, command, interrupt }: Wish): Promise<number> {
  const { syla } = await connectRunning();
  const { signal } = interrupt;
  const visit = { syla, sandbox, interrupt, signal, lifetimeMs: attachedLifetimeMs };
  if (values.process !== undefined) {
    return backTo(visit, { sandbox, id: parseCount(values.process, "--process") });
  }
  return isTerminal() ? inTerminal(visit, command, true) : piped(visit, command);
}

function piped(visit: Visit, command: readonly string[]): Promise<number> {
  return orPlainShell(command, (name, args) =>
    runInSandbox(visit, { command: name, args: [...args] }),
  );
}

/** A new terminal in a sandbox. `stays` when the sandbox does after it was left. */
async function inTerminal(
  visit: Visit,
  command: readonly string[],
  stays: boolean,
): Promise<number> {
  const { syla, sandbox } = visit;
  const env = Object.fromEntries(
    ["TERM", "COLORTERM"].flatMap((name) => {
      const value = process.env[name];
      return value ? [[name, value]] : [];
    }),
  );
  const { id } = await orPlainShell(command, (name, args) =>
    syla.process.startProcess({
      sandbox,
      spec: { command: name, args: [...args], env, terminal: terminalSize() },
    }),
  );
  return attend(visit, { sandbox, id }, { shownBefore: 0, stays });
}

async function backTo(visit: Visit, ref: ProcessRef): Promise<number> {
  const { terminal, lastEvent } = await visit.syla.process.getProcess(ref);
  if (terminal === undefined) {
    const how = `'syla sandbox logs -f ${ref.sandbox} ${ref.id}' shows its output`;
    throw usageFailure(`Process ${ref.id} has no terminal; ${how}.`);
  }
  return attend(visit, ref, { shownBefore: lastEvent, stays: true });
}

interface Attendance {
  /** The number of the last event that is not new. */
  readonly shownBefore: number;
  readonly stays: boolean;
}

async function attend(visit: Visit, ref: ProcessRef, { shownBefore, stays }: Attendance) {
  let ended;
  try {
    ended = await giveTerminal(visit, ref, shownBefore);
    if (ended !== undefined) return await tellEnd(visit, ended);
    return 0;
  } finally {
    const back = `syla shell ${ref.sandbox} --process ${ref.id}`;
    if (ended === undefined && stays) await note(`to come back: ${back}`).catch(() => {});
  }
}

function defaultLifetimeMs({ createdAt, expiresAt }: Sandbox): number {
  if (createdAt === undefined || expiresAt === undefined) return attachedLifetimeMs;
  return timestampMs(expiresAt) - timestampMs(createdAt);
}

/** Its lifetime begins anew when whoever made it leaves. */
async function keep(syla: Syla, id: string, lifetimeMs: number): Promise<void> {
  const call = { timeoutMs: courtesyTimeoutMs };
  try {
    await syla.sandbox.extendSandbox({ id, lifetime: durationFromMs(lifetimeMs) }, call);
    await note(`kept for ${formatSpan(lifetimeMs)}: ${printable(id)}`);
  } catch {
    await note(`the sandbox may have ended: ${printable(id)}`).catch(() => {});
  }
}

async function killQuietly(syla: Syla, id: string): Promise<void> {
  // Its lifetime ends it when this does not.
  await syla.sandbox.killSandbox({ id }, { timeoutMs: courtesyTimeoutMs }).catch(() => {});
}

/** Starts the command that was given, else Bash, else what every system has. */
async function orPlainShell<T>(
  [command, ...args]: readonly string[],
  start: (command: string, args: readonly string[]) => Promise<T>,
): Promise<T> {
  if (command !== undefined) return start(command, args);
  try {
    return await start("bash", []);
  } catch (thrown) {
    if (thrown instanceof SylaError && thrown.code === "process_not_started")
      return start("sh", []);
    throw thrown;
  }
}
