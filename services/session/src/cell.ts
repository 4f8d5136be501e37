// A cell: what was given to run, and what has come of it so far, as far as it is kept.
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";
import {
  type Cell as CellMessage,
  type CellError,
  type CellResult,
  CellSchema,
  type CellSpec,
  Cell_Status as Status,
  type ExpressionValue,
  type InputRequest,
  InputRequestSchema,
} from "@syla/contract/syla/session/v1/cell";
import { Tail } from "@syla/kit/tail";
import { bytesOf } from "@syla/kit/text-or-bytes";

/** Of each stream, in an answer. */
const outputBytesMax = 1024 ** 2;
/** However small they are. */
const resultsMax = 10_000;
const resultBytes = 256;

export interface CellOptions {
  readonly id: number;
  readonly session: string;
  readonly spec: CellSpec;
  readonly firstEvent: number;
  readonly nowMs: number;
  /** How much of what it shows is kept. */
  readonly resultsBytesMax: number;
}

/** One cell. */
export class Cell {
  /** What is known of it now, but its output. */
  readonly message: CellMessage;
  readonly spec: CellSpec;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  /** The number of its last event, once it has ended. */
  lastEvent: number | undefined;
  /** How much its expressions came to. */
  expressionsBytes = 0;
  /** Why it is to be interrupted, once it is. */
  interrupted: "call" | "timeout" | undefined;
  readonly #end = Promise.withResolvers<void>();
  readonly #outputs = { stdout: new Tail(outputBytesMax), stderr: new Tail(outputBytesMax) };
  readonly #resultsBytesMax: number;
  #resultsBytes = 0;
  /** Where the results with a display id are: updates come as fast as a tenant can write. */
  readonly #places = new Map<string, number[]>();
  #clearNext = false;

  constructor({ id, session, spec, firstEvent, nowMs, resultsBytesMax }: CellOptions) {
    this.spec = spec;
    this.#resultsBytesMax = resultsBytesMax;
    this.ended = this.#end.promise;
    this.message = create(CellSchema, {
      ...{ id, session, code: spec.code, status: Status.QUEUED, firstEvent },
      silent: spec.silent,
      createdAt: timestampFromMs(nowMs),
    });
  }

  /** About how much it holds. */
  get bytes(): number {
    const { stdout, stderr } = this.#outputs;
    return stdout.bytes + stderr.bytes + this.#resultsBytes + this.message.code.length + 1024;
  }

  get over(): boolean {
    return this.message.status !== Status.QUEUED && this.message.status !== Status.RUNNING;
  }

  /** It with everything that has come of it. */
  whole(): CellMessage {
    const { stdout, stderr } = this.#outputs;
    return {
      ...clone(CellSchema, { ...this.message, results: [] }),
      results: [...this.message.results],
      ...{ stdout: stdout.text(), stdoutTruncated: stdout.truncated },
      ...{ stderr: stderr.text(), stderrTruncated: stderr.truncated },
    };
  }

  /** It without output, results and what its expressions came to. */
  outline(): CellMessage {
    return clone(CellSchema, { ...this.message, results: [], expressions: [] });
  }

  /** It without output and results, and without its code, which its first event had. */
  brief(): CellMessage {
    return clone(CellSchema, { ...this.message, results: [], code: "" });
  }

  print(stream: "stdout" | "stderr", output: ProcessOutput): void {
    this.#clearIfDue();
    this.#outputs[stream].add(bytesOf(output));
  }

  show(result: CellResult, bytes: number): void {
    this.#clearIfDue();
    const { results } = this.message;
    if (
      results.length >= resultsMax ||
      this.#resultsBytes + bytes + resultBytes > this.#resultsBytesMax
    ) {
      this.message.resultsTruncated = true;
      return;
    }
    const { displayId } = result;
    const places = this.#places.get(displayId);
    if (places !== undefined) places.push(results.length);
    else if (displayId !== "") this.#places.set(displayId, [results.length]);
    results.push(result);
    this.#resultsBytes += bytes + resultBytes;
  }

  /** Keeps what one of its expressions came to; what was not asked for, or is too much, is as not evaluated. */
  express(value: ExpressionValue, bytes: number): void {
    const { expressions } = this.message;
    const isWanted = Object.hasOwn(this.spec.expressions, value.name);
    if (!isWanted || expressions.some(({ name }) => name === value.name)) return;
    if (this.#resultsBytes + bytes + resultBytes > this.#resultsBytesMax) return;
    expressions.push(value);
    this.#resultsBytes += bytes + resultBytes;
    this.expressionsBytes += bytes;
  }

  /** Shows something else in the place of all results with this display id. */
  update(result: CellResult, bytes: number): void {
    const { results } = this.message;
    const places = this.#places.get(result.displayId) ?? [];
    if (this.#resultsBytes + bytes * places.length > this.#resultsBytesMax) return;
    this.#resultsBytes += bytes * places.length;
    for (const at of places) results[at] = { ...result, main: results[at]?.main === true };
  }

  clear(wait: boolean): void {
    this.#clearNext = true;
    if (!wait) this.#clearIfDue();
  }

  ask(request: InputRequest | undefined): void {
    if (request === undefined) delete this.message.inputRequest;
    else this.message.inputRequest = clone(InputRequestSchema, request);
  }

  start(count: number | undefined, nowMs: number): void {
    this.message.status = Status.RUNNING;
    this.message.startedAt = timestampFromMs(nowMs);
    if (count !== undefined) this.message.executionCount = count;
  }

  finish(status: Status, error: CellError | undefined, nowMs: number): void {
    this.message.status = status;
    this.message.endedAt = timestampFromMs(nowMs);
    this.ask(undefined);
    if (error !== undefined) this.message.error = error;
  }

  /** Lets those go on who wait for its end. */
  settle(): void {
    this.#end.resolve();
  }

  #clearIfDue(): void {
    if (!this.#clearNext) return;
    this.#clearNext = false;
    this.message.results = [];
    this.#places.clear();
    this.#resultsBytes = 0;
    this.#outputs.stdout = new Tail(outputBytesMax);
    this.#outputs.stderr = new Tail(outputBytesMax);
  }
}
