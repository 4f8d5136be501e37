// This terminal, given to a process of a sandbox: every key goes to the inside, every byte from there comes out, and
// its size follows. Whatever happens, the terminal is afterwards as it was.
import { spawnSync } from "node:child_process";
import type { Process, ProcessEvent } from "@syla/contract/syla/sandbox/v1/process";
import type { ProcessRef, Syla } from "@syla/sdk";
import { write } from "../output.ts";
import { bytesOf } from "../run.ts";
import { keepSandbox } from "../sandbox/stay.ts";
import { isInputClosed, type Visit } from "../sandbox/streams.ts";
import { EscapeReader, TerminalModes, withoutQuestions } from "./modes.ts";

/** Whether a person sits at both ends of this command. */
export function isTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

/** This terminal's size, as the contract's Terminal. */
export function terminalSize(): { readonly columns: number; readonly rows: number } {
  const { columns, rows } = process.stdout;
  return { columns: within(columns, 80), rows: within(rows, 24) };
}

// A terminal that nobody told its size has none.
function within(size: number | undefined, otherwise: number): number {
  return size === undefined || size < 1 ? otherwise : Math.min(size, 2000);
}

/**
 * Gives the terminal to a process until it ends, and answers it as it then is; undefined when it was left with `~.`
 * What it wrote before, up to `shownBefore`, is shown again.
 */
export async function giveTerminal(
  visit: Visit,
  ref: ProcessRef,
  shownBefore: number,
): Promise<Process | undefined> {
  const { syla, sandbox, lifetimeMs } = visit;
  const modes = new TerminalModes();
  const left = new AbortController();
  const over = new AbortController();
  const restore = takeTerminal(modes);
  const stopFitting = fitTerminal(syla, ref);
  void keepSandbox(syla, sandbox, lifetimeMs, over.signal);
  feed(syla, ref, () => left.abort()).catch(() => left.abort());
  let ended: Process | undefined;
  try {
    const signal = AbortSignal.any([visit.signal, left.signal]);
    for await (const { number, event } of syla.followProcess(ref, { signal })) {
      if (event.case === "ended") ended = event.value;
      await show(event, number <= shownBefore, modes);
    }
    return ended;
  } catch (thrown) {
    if (left.signal.aborted) return undefined;
    throw thrown;
  } finally {
    over.abort();
    stopFitting();
    restore(ended === undefined ? "\r\n" : "");
    process.stdin.pause();
  }
}

async function show(
  event: ProcessEvent["event"],
  again: boolean,
  modes: TerminalModes,
): Promise<void> {
  if (event.case !== "stdout" && event.case !== "stderr") return;
  const bytes = bytesOf(event.value);
  if (typeof bytes === "string") modes.see(bytes);
  await write(process.stdout, again && typeof bytes === "string" ? withoutQuestions(bytes) : bytes);
}

/** Takes the terminal; answers what gives it back, which the end of this process also does. */
function takeTerminal(modes: TerminalModes): (last: string) => void {
  const { stdin } = process;
  let taken = true;
  const restore = (last: string) => {
    if (!taken) return;
    taken = false;
    process.off("exit", onExit);
    process.off("SIGCONT", onContinue);
    try {
      stdin.setRawMode(false);
      process.stdout.write(modes.restoring() + last);
    } catch {
      // The terminal has gone, and with it what there was to restore.
    }
  };
  const onExit = () => restore("\r\n");
  // Whoever stopped this command from outside had the terminal in between.
  const onContinue = () => {
    stdin.setRawMode(false);
    makeRaw();
  };
  process.on("exit", onExit);
  process.on("SIGCONT", onContinue);
  makeRaw();
  return restore;
}

// Node's raw mode still makes a line feed return the carriage, which only moves down for an editor inside; the terminal
// there has done what is to be done. Leaving raw mode undoes this as well. Without stty(1) editors look odd.
function makeRaw(): void {
  process.stdin.setRawMode(true);
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}

/** Gives the process's terminal the size of this one, now and whenever it changes. */
function fitTerminal(syla: Syla, ref: ProcessRef): () => void {
  let wanted = false;
  let busy = false;
  const fit = async () => {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      // A size that does not arrive is not worth an end; the next one may.
      await syla.process.resizeTerminal({ ...ref, terminal: terminalSize() }).catch(() => {});
    }
    busy = false;
  };
  const listener = () => void fit();
  process.stdout.on("resize", listener);
  listener();
  return () => process.stdout.off("resize", listener);
}

/** Sends what is typed. What cannot be sent is lost with a beep: it may have arrived, and twice would be worse. */
async function feed(syla: Syla, ref: ProcessRef, leave: () => void): Promise<void> {
  const escape = new EscapeReader();
  const input: AsyncIterable<Buffer> = process.stdin;
  for await (const chunk of input) {
    const { bytes, left } = escape.take(chunk);
    if (bytes.length > 0) {
      const call = syla.process.writeInput({ ...ref, data: { case: "base64", value: bytes } });
      const sent = left ? undefined : await call.catch((thrown: unknown) => thrown);
      if (sent instanceof Error && !isInputClosed(sent)) process.stdout.write("\u0007");
    }
    if (left) break;
  }
  leave();
}
