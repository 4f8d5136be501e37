// Writing to standard output and standard error byte by byte as it comes, and noticing when nobody reads any more:
// `syla run … | head` must stop the run quietly, as a signal would stop the program.
import { exitCodes } from "./failure.ts";

/** The reader of an output has gone. */
export class ReaderLeft extends Error {
  /** What a shell shows for a program that SIGPIPE ended. */
  readonly exitCode = exitCodes.signal + 13;

  constructor() {
    super("The reader of the output has gone.");
    this.name = "ReaderLeft";
  }
}

/** Writes to a stream and waits until it is through. */
export async function write(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  if (data.length === 0) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.write(data, (error) => {
    if (error === null || error === undefined) resolve();
    else reject(isReaderLeft(error) ? new ReaderLeft() : error);
  });
  await promise;
}

/** Writes to standard output. */
export function print(data: string | Uint8Array): Promise<void> {
  return write(process.stdout, data);
}

/** Writes a line of the CLI's own to standard error. */
export function note(message: string): Promise<void> {
  return write(process.stderr, `syla: ${message}\n`);
}

/** Keeps a failed write from ending the process: every write tells its own caller. */
export function guardOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}

function isReaderLeft(error: Error): boolean {
  return "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED");
}
