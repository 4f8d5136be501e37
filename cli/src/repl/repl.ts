// `syla repl`: an interpreter that remembers, at a prompt; what is piped in is one cell.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Cell_Status as CellStatus } from "@syla/contract/syla/session/v1/cell";
import { type Session, Session_Status as Status } from "@syla/contract/syla/session/v1/session";
import type { Syla } from "@syla/sdk";
import { type Command, type Flags, parseFlags } from "../command.ts";
import { exitCodes, Failure, usageFailure } from "../failure.ts";
import { type Interrupt, interruptible } from "../interrupt.ts";
import { note } from "../output.ts";
import { connect, connectRunning } from "../platform.ts";
import { printable, toned } from "../render.ts";
import { Prompt } from "./prompt.ts";
import { Show } from "./show.ts";
import { givenFlag, readSandboxSpec, sandboxFlags } from "../sandbox/spec.ts";
import { asText, readStdin } from "../stdin.ts";
import { isTerminal } from "../terminal/terminal.ts";

const { language: _, ...newFlags } = sandboxFlags;

const flags = {
  ...newFlags,
  version: { type: "string", hint: "V", help: "a version or the beginning of one, such as 3.11" },
  sandbox: { type: "string", hint: "ID", help: "in this sandbox, with its files" },
  session: { type: "string", short: "s", hint: "ID", help: "come back to a session that was kept" },
  keep: { type: "boolean", default: false, help: "leave the session there, and say its id" },
} as const satisfies Flags;

/** The `repl` command. */
export const repl: Command = {
  usage: "repl [LANGUAGE] [FLAGS]",
  about: `An interpreter at a prompt, Python if nothing else is asked for, in a jail of its own; variables stay
from cell to cell. A block goes on until it is whole, Tab completes, the arrows go through what was
typed before, Ctrl-C interrupts, Ctrl-D leaves. Pictures are saved here and named. What is piped in
is run as one cell, without a prompt.`,
  flags,
  examples: [
    ["syla repl", "Python, gone when you leave it"],
    ["syla repl javascript --keep", "one that stays, for --session to come back to"],
    ["syla repl --sandbox 0197a2c4-…", "among the files of a sandbox"],
    ["syla repl python < cell.py", "one cell, its errors in the exit code"],
  ],
  execute,
};

// A courtesy of one who leaves; it must not keep him.
const courtesyTimeoutMs = 5_000;
// Whoever sits at a prompt may think for a while.
const idleMs = 8 * 3_600_000;

type Values = ReturnType<typeof parseFlags<typeof flags>>["values"];

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(flags, args);
  const [language, extra] = positionals;
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  refuseMistakes(language, values);
  return interruptible((interrupt) => visit(language, values, interrupt));
}

function refuseMistakes(language: string | undefined, values: Values): void {
  const forNew = givenFlag({ ...values, language: undefined });
  const given = forNew ?? (values.keep ? "keep" : values.version && "version");
  if (values.session !== undefined && (language ?? given ?? values.sandbox) !== undefined) {
    throw usageFailure("--session comes back to a session as it is: give nothing else with it.");
  }
  if (values.sandbox !== undefined && forNew !== undefined) {
    throw usageFailure(`Cannot take --${forNew} with --sandbox: it is for a new one.`);
  }
  if (values.secret.some((flag) => flag.endsWith("=-"))) {
    throw usageFailure("Cannot take a secret from standard input: that is the interpreter's.");
  }
}

async function visit(language: string | undefined, values: Values, interrupt: Interrupt) {
  const { session: id, sandbox, keep } = values;
  const stays = keep || id !== undefined;
  const running = stays || sandbox !== undefined;
  const { syla, died, close } = running ? await connectRunning() : await connect(interrupt.signal);
  const signal = AbortSignal.any([interrupt.signal, died]);
  try {
    const session =
      id === undefined
        ? await make(syla, language, values, signal)
        : await syla.session.getSession({ id });
    try {
      return await (isTerminal()
        ? converse(syla, session, signal)
        : runPiped(syla, session, signal));
    } finally {
      await (stays ? tellBack(session) : leave(syla, session));
    }
  } catch (thrown) {
    throw died.aborted ? died.reason : thrown;
  } finally {
    await close();
  }
}

async function make(
  syla: Syla,
  language = "",
  values: Values,
  signal: AbortSignal,
): Promise<Session> {
  const { sandbox = "", version = "" } = values;
  const { language: _own, ...sandboxSpec } = await readSandboxSpec(values, signal);
  const place = sandbox === "" ? { sandboxSpec } : { sandbox };
  const spec = { language, version, ...place, idleTimeout: durationFromMs(idleMs) };
  // Not given the signal: whoever leaves in the middle of this call could not name the session to end it.
  return syla.session.createSession({ spec });
}

async function tellBack({ id }: Session): Promise<void> {
  await note(`to come back: syla repl --session ${printable(id)}`).catch(() => {});
}

async function leave(syla: Syla, { id }: Session): Promise<void> {
  // Its idle time ends it when this does not.
  await syla.session.deleteSession({ id }, { timeoutMs: courtesyTimeoutMs }).catch(() => {});
}

async function runPiped(syla: Syla, { id }: Session, signal: AbortSignal): Promise<number> {
  const code = asText(await readStdin("the code", signal), "the code");
  return runCell(new Show(false), { syla, session: id, code, input: false, signal });
}

const farewells = new Set(["exit", "quit", "exit()", "quit()", ".exit"]);

async function converse(syla: Syla, session: Session, signal: AbortSignal): Promise<number> {
  const { id, language, version } = session;
  const show = new Show(true);
  await show.line(
    toned("faint", `${printable(language)} ${printable(version)} in a jail; Ctrl-D leaves`),
  );
  const interruptCell = () => void syla.session.interruptSession({ id }).catch(() => {});
  const prompt = await Prompt.open({ syla, session: id, language, onInterrupt: interruptCell });
  const left = new AbortController();
  const ended = tellEnd(syla, session, AbortSignal.any([signal, left.signal]));
  const gone = Promise.race([ended, aborted(signal)]);
  try {
    for (;;) {
      await show.freshLine();
      const typed = await Promise.race([prompt.readCell(), gone]);
      if (typed.kind === "interrupted") continue;
      if (typed.kind === "end") return 0;
      if (typed.text.trim() === "") continue;
      if (farewells.has(typed.text.trim())) return 0;
      const cell = { syla, session: id, code: typed.text, input: true, signal };
      await Promise.race([runCell(show, cell, prompt), gone]);
    }
  } finally {
    left.abort();
    await prompt.close();
    await show.freshLine();
  }
}

/** Rejects when the session ends by itself, with what there is to say of it. */
async function tellEnd(syla: Syla, { id }: Session, signal: AbortSignal): Promise<never> {
  for (;;) {
    try {
      for await (const { event } of syla.session.watchSession(
        { session: id, after: -1 },
        { signal },
      )) {
        if (event.case !== "session" || event.value.endedAt === undefined) continue;
        const { endMessage = "The session has ended." } = event.value;
        throw new Failure(exitCodes.platform, printable(endMessage));
      }
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
    }
    if (signal.aborted) return new Promise<never>(() => {});
    const now = await syla.session.getSession({ id }, { signal });
    if (now.status === Status.ENDED || now.status === Status.LOST) {
      throw new Failure(exitCodes.platform, printable(now.endMessage ?? "The session has ended."));
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener(
      "abort",
      () => reject(new Failure(exitCodes.platform, "Interrupted.")),
      { once: true },
    );
  });
}

interface Wish {
  readonly syla: Syla;
  readonly session: string;
  readonly code: string;
  readonly input: boolean;
  readonly signal: AbortSignal;
}

/** Runs a cell and shows what it does; answers 1 when it did not end well. */
async function runCell(show: Show, wish: Wish, prompt?: Prompt): Promise<number> {
  const { syla, session, code, input, signal } = wish;
  let failed = false;
  for await (const happened of syla.followNewCell({ session, spec: { code, input } }, { signal })) {
    const { event, cell } = happened;
    await show.event(happened);
    if (event.case === "session" && event.value.status === Status.RESTARTING) {
      await show.line(toned("warning", "the interpreter is started anew: its variables are lost"));
    }
    if (event.case === "inputRequest" && prompt !== undefined) {
      void answer(
        syla,
        { session, cell },
        prompt.readAnswer(event.value.prompt, event.value.password),
      );
    }
    if (event.case === "ended") failed = event.value.status !== CellStatus.OK;
  }
  return failed ? 1 : 0;
}

async function answer(
  syla: Syla,
  cell: { session: string; cell: number },
  typed: ReturnType<Prompt["readAnswer"]>,
): Promise<void> {
  const given = await typed;
  try {
    if (given.kind === "interrupted") await syla.session.interruptSession({ id: cell.session });
    else if (given.kind === "end") await syla.session.answerInput({ ...cell, end: true });
    else await syla.session.answerInput({ ...cell, text: given.text });
  } catch {
    // The cell has ended meanwhile, and tells so itself.
  }
}
