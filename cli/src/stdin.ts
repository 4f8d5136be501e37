// What stands on the command's standard input, read to its end before the run: a program's input travels with it.
import { fstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { note } from "./output.ts";
import { Failure, exitCodes, pathFailure, usageFailure } from "./failure.ts";

/** The contract's limit on a program's text and on its input. */
const bytesMax = 2_097_152;

// After this long without an end, a person should be told what is being waited for.
const patienceMs = 5_000;

/** Whether something was piped or redirected in; a terminal and /dev/null are not. */
export function isPiped(): boolean {
  try {
    const stats = fstatSync(0);
    return stats.isFIFO() || stats.isSocket() || stats.isFile();
  } catch {
    return false;
  }
}

/** Everything on standard input. `what` names it in messages. */
export async function readStdin(what: string, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = () => process.stdin.destroy();
  signal.addEventListener("abort", stop, { once: true });
  const hint = `waiting for the end of standard input, which is ${what}`;
  const timer = setTimeout(() => void note(hint).catch(stop), patienceMs);
  try {
    const input: AsyncIterable<Buffer> = process.stdin;
    for await (const bytes of input) {
      chunks.push(bytes);
      length += bytes.length;
      if (length > bytesMax) throw tooLarge(what);
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
  if (signal.aborted) throw new Failure(exitCodes.platform, "Interrupted.");
  return Buffer.concat(chunks);
}

/** Everything in a file. `what` names it in messages. */
export async function readSource(path: string, what: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((thrown: unknown) => {
    throw pathFailure(`read ${what}`, path, thrown);
  });
  if (bytes.length > bytesMax) throw tooLarge(`${what} '${path}'`);
  return bytes;
}

/** Bytes that must be text, because the contract has a string for them. */
export function asText(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw usageFailure(`Cannot send ${what}: it is not UTF-8 text.`);
  }
}

function tooLarge(what: string): Failure {
  return usageFailure(`Cannot send ${what}: it is larger than ${bytesMax / 2 ** 20} MiB.`);
}
