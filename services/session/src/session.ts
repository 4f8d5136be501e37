// A session: an interpreter and the cells that run in it one after another, as a state machine.
//
//   IDLE <--a cell starts, ends--> BUSY
//     '--its interpreter ended, or is to be started anew--> RESTARTING --it is ready--> IDLE
//     '--deleted, idle for too long, stopped, its sandbox ended, no interpreter--> ENDED
//
// An interpreter belongs to its tenant and may end, hang or lie at any time: that ends cells, or it is started anew.
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";
import {
  type CellError,
  CellErrorSchema,
  type CellResult,
  type CellSpec,
  Cell_Status as CellStatus,
  type InputRequest,
  ClearResultsSchema,
} from "@syla/contract/syla/session/v1/cell";
import {
  type Session as SessionMessage,
  Session_Status as Status,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { Cell } from "./cell.ts";
import { Cells } from "./cells.ts";
import type { SessionConfig } from "./config.ts";
import { type Kernel, type KernelEnd, type KernelListener } from "./kernel.ts";
import type { Command } from "./kernels.ts";
import { Questions } from "./questions.ts";
import { endedError, type EndReason, endSentences } from "./session-end.ts";
import { SessionLog, type SessionEventInit } from "./session-log.ts";
import { type Fields, type Outcome, type Word, WordError } from "./words.ts";

export interface SessionOptions {
  /** As it is told; its status, its end and its counts are changed here. */
  readonly message: SessionMessage;
  readonly config: SessionConfig;
  readonly clock: Clock;
  /** Starts an interpreter. */
  readonly startKernel: (listener: KernelListener) => Kernel;
  /** Told of every change of its message. */
  readonly changed: () => void;
  /** Told once, when it has ended. */
  readonly ended: () => void;
}

/** Pieces of output. */
const earlyMax = 16;

/** One session that is there. */
export class Session {
  readonly message: SessionMessage;
  readonly cells: Cells;
  readonly #options: SessionOptions;
  readonly #log: SessionLog;
  readonly #waiting: Cell[] = [];
  readonly #questions = new Questions();
  #kernel: Kernel | undefined;
  #current: Cell | undefined;
  /** What was printed while the current cell was not heard to have started. */
  readonly #early: (() => void)[] = [];
  /** The last that ran: what its threads print later is its own. */
  #last: Cell | undefined;
  #lastCell = 0;
  #idleTimer: NodeJS.Timeout | undefined;
  #timeout: NodeJS.Timeout | undefined;
  /** Runs while an interrupt is not heeded. */
  #grace: NodeJS.Timeout | undefined;
  /** A signal that is on its way: what comes next is told after it. */
  #signalling: Promise<void> | undefined;
  /** Why the interpreter is being ended, when it is by us. */
  #killing: string | undefined;
  #restarted: PromiseWithResolvers<void> | undefined;

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.message = options.message;
    this.#log = new SessionLog({ bytesMax: options.config.logBytes, clock: options.clock });
    this.cells = new Cells(options.message.id, options.config.keptBytes);
  }

  /** Starts one; resolves when it can run a cell. */
  static async start(options: SessionOptions): Promise<Session> {
    const session = new Session(options);
    await session.#start();
    session.#become(Status.IDLE);
    return session;
  }

  /** Gives it a cell, which runs after those before it. */
  run(spec: CellSpec): Cell {
    this.#assertThere();
    const { config, clock } = this.#options;
    if (this.#waiting.length >= config.waitingMax) {
      const detail = `${config.waitingMax} cells of session ${this.message.id} wait already`;
      throw new SylaError("cells_full", `Cannot run a cell: ${detail}.`);
    }
    const cell = new Cell({
      ...{ id: (this.#lastCell += 1), session: this.message.id, spec },
      ...{ firstEvent: this.#log.next, nowMs: clock.now() },
      resultsBytesMax: config.resultsBytes,
    });
    this.cells.add(cell);
    this.#waiting.push(cell);
    this.#tell(cell, { case: "queued", value: cell.outline() }, spec.code.length);
    this.#next();
    return cell;
  }

  /** What happens after an event's number, of all cells (0) or of one. */
  watch(after: number, cell: number, context: CallContext) {
    return this.#log.watch(after, cell === 0 ? undefined : this.cells.find(cell), context);
  }

  /** Answers what a cell asks; undefined is the end of its input. */
  async answer(id: number, text: string | undefined): Promise<void> {
    const cell = this.cells.find(id);
    if (cell !== this.#current || cell.message.inputRequest === undefined) {
      const detail = `cell ${id} of session ${this.message.id} asks nothing now`;
      throw new SylaError("input_not_asked", `Cannot answer: ${detail}.`);
    }
    cell.ask(undefined);
    await this.#kernel?.tell({ do: "answer", ...(text === undefined ? { end: true } : { text }) });
  }

  /** Interrupts the cell that runs; those that wait behind it do not start. */
  interrupt(reason: "call" | "timeout" = "call"): void {
    const cell = this.#current;
    if (cell === undefined) return;
    if (cell.spec.continueOnError) cell.interrupted ??= reason;
    else this.#skip();
    cell.interrupted ??= reason;
    if (cell.message.status === CellStatus.RUNNING) this.#signal();
    this.#log.hurry(true);
    this.#grace ??= setTimeout(() => this.#insist(), this.#options.config.graceMs / 2);
  }

  /** Once more, for what waited or looked away; then there is no state that could be kept. */
  #insist(): void {
    const { graceMs } = this.#options.config;
    this.#signal();
    this.#grace = setTimeout(() => {
      this.#kill(`it did not heed an interrupt for ${graceMs / 1000} s and was ended`);
    }, graceMs / 2);
  }

  /** Ends a cell that nobody wants any more, such as one whose caller has left. */
  abandon(cell: Cell): void {
    const at = this.#waiting.indexOf(cell);
    if (at !== -1) {
      this.#waiting.splice(at, 1);
      this.#finish(cell, CellStatus.SKIPPED);
    } else if (cell === this.#current) {
      this.interrupt();
    }
  }

  /** Starts the interpreter anew; resolves when it can run a cell. */
  async restart(): Promise<void> {
    this.#assertThere();
    if (this.message.status !== Status.RESTARTING) this.#kill("it was started anew");
    const restarted = (this.#restarted ??= Promise.withResolvers());
    await restarted.promise;
    this.#assertThere();
  }

  /** Asks the interpreter about code; one that runs a cell cannot answer, one that is at a loss answers nothing. */
  async ask(command: Command): Promise<Fields> {
    this.#assertThere();
    if (this.message.status !== Status.IDLE) {
      const detail = `session ${this.message.id} runs a cell or is being started anew`;
      throw new SylaError("session_busy", `Cannot ask the interpreter: ${detail}.`);
    }
    const kernel = this.#kernel;
    return this.#questions.ask(
      async (id) => kernel?.tell({ ...command, id }),
      (isOpen) => this.#askedTooMuch(kernel, isOpen),
    );
  }

  /** Lets the time after which it ends idle begin anew. */
  touch(): void {
    clearTimeout(this.#idleTimer);
    if (this.message.status !== Status.IDLE) return;
    const { idleTimeout } = this.message;
    const ms = idleTimeout === undefined ? this.#options.config.idleMs : durationMs(idleTimeout);
    this.#idleTimer = setTimeout(() => this.end("idle"), ms);
  }

  /** Ends it; the same reason counts for what runs in it. */
  end(reason: EndReason, message = endSentences[reason]): void {
    if (this.message.status === Status.ENDED) return;
    const { clock, ended } = this.#options;
    const nowMs = clock.now();
    for (const timer of [this.#idleTimer, this.#timeout, this.#grace]) clearTimeout(timer);
    this.message.status = Status.ENDED;
    this.message.endReason = reason;
    this.message.endMessage = message;
    this.message.endedAt = timestampFromMs(nowMs);
    this.#skip();
    if (this.#current !== undefined) this.#die(this.#current, `The session ended. ${message}`);
    this.#questions.settle();
    this.#log.appendSession(this.message);
    this.#log.close();
    void this.#kernel?.signal("SIGKILL");
    this.#restarted?.resolve();
    ended();
  }

  #assertThere(): void {
    if (this.message.status === Status.ENDED) throw endedError(this.message);
  }

  async #start(): Promise<void> {
    const { config, startKernel } = this.#options;
    const kernel: Kernel = startKernel({
      output: (stream, output) => this.#onOutput(kernel, stream, output),
      word: (word, bytes) => this.#onWord(kernel, word, bytes),
      lost: (bytes) => this.#onLost(kernel, bytes),
      ended: (end) => void this.#onEnd(kernel, end),
      room: () => this.#log.room(),
    });
    this.#kernel = kernel;
    const late = setTimeout(() => void kernel.signal("SIGKILL"), config.startMs);
    try {
      await kernel.ready;
    } finally {
      clearTimeout(late);
    }
  }

  async #startAnew(): Promise<void> {
    this.#killing = undefined;
    this.message.executionCount = 0;
    this.#become(Status.RESTARTING);
    try {
      await this.#start();
    } catch (error) {
      const detail = error instanceof SylaError ? error.message : endSentences.interpreter;
      return this.end("interpreter", detail);
    }
    if (this.message.status !== Status.RESTARTING) return; // it was ended meanwhile
    this.message.restarts += 1;
    this.#become(Status.IDLE);
    this.#restarted?.resolve();
    this.#restarted = undefined;
    this.#next();
  }

  /** Lets the next cell run, if none does. */
  #next(): void {
    if (this.message.status === Status.BUSY && this.#current === undefined) {
      if (this.#waiting.length === 0) this.#become(Status.IDLE);
    }
    if (this.message.status !== Status.IDLE && this.message.status !== Status.BUSY) return;
    if (this.#current !== undefined) return;
    const cell = this.#waiting.shift();
    if (cell === undefined) return;
    this.#current = this.#last = cell;
    if (this.message.status === Status.IDLE) this.#become(Status.BUSY);
    const { code, env, input, silent, uncounted, expressions, timeout } = cell.spec;
    const max = this.#options.config.wordBytes;
    const command: Command = {
      ...{ do: "run", cell: cell.message.id, code, input, silent, uncounted, max },
      ...(Object.keys(env).length > 0 ? { env } : {}),
      ...(Object.keys(expressions).length > 0 ? { expressions } : {}),
    };
    const told = (this.#signalling ?? Promise.resolve()).then(() => this.#kernel?.tell(command));
    told.catch((error: unknown) => this.#refused(cell, error));
    if (timeout === undefined) return;
    this.#timeout = setTimeout(() => this.interrupt("timeout"), durationMs(timeout));
  }

  #onOutput(kernel: Kernel, stream: "stdout" | "stderr", output: ProcessOutput): void {
    if (kernel !== this.#kernel || this.message.status === Status.ENDED) return;
    const bytes = bytesOf(output).length;
    if (this.#current?.message.status !== CellStatus.QUEUED)
      return this.#print(stream, output, bytes);
    // A cell may print before it was heard that it started.
    this.#early.push(() => this.#print(stream, output, bytes));
    if (this.#early.length > earlyMax) this.#printEarly();
  }

  #print(stream: "stdout" | "stderr", output: ProcessOutput, bytes: number): void {
    const cell = this.#current ?? this.#last;
    cell?.print(stream, output);
    this.#tell(cell, { case: stream, value: output }, bytes);
  }

  #printEarly(): void {
    for (const print of this.#early.splice(0)) print();
  }

  #onLost(kernel: Kernel, bytes: number): void {
    if (kernel !== this.#kernel || this.message.status === Status.ENDED) return;
    this.#tell(this.#current ?? this.#last, { case: "lostBytes", value: bytes }, 0);
  }

  #onWord(kernel: Kernel, word: Word, bytes: number): void {
    if (kernel !== this.#kernel || this.message.status === Status.ENDED) return;
    switch (word.kind) {
      case "ready":
        return;
      case "started":
        return this.#onStarted(this.#named(word.cell), word.count);
      case "result":
        return this.#onResult(word.result, bytes);
      case "update":
        return this.#onUpdate(word.result, bytes);
      case "clear": {
        const cell = this.#current ?? this.#last;
        cell?.clear(word.wait);
        const value = create(ClearResultsSchema, { wait: word.wait });
        return this.#tell(cell, { case: "clear", value }, 0);
      }
      case "input":
        return this.#onInput(word.request, bytes);
      case "error":
        return this.#onError(word.error, bytes);
      case "expression":
        return this.#current?.express(word.value, bytes);
      case "ended":
        return this.#onEnded(this.#named(word.cell), word.outcome);
      case "reply":
        return this.#questions.answer(word.to, word.body);
    }
  }

  /** The cell that runs, which the interpreter is to mean. */
  #named(id: number): Cell {
    const cell = this.#current;
    if (cell === undefined || cell.message.id !== id) {
      throw new WordError("it spoke of a cell that does not run");
    }
    return cell;
  }

  #onStarted(cell: Cell, count: number | undefined): void {
    if (cell.message.status !== CellStatus.QUEUED) throw new WordError("it started a cell twice");
    const nowMs = this.#options.clock.now();
    cell.start(count, nowMs);
    if (count !== undefined) this.message.executionCount = count;
    this.message.activeAt = timestampFromMs(nowMs);
    this.#tell(cell, { case: "started", value: cell.brief() }, 0);
    this.#printEarly();
    if (cell.interrupted !== undefined) this.#signal();
  }

  #onResult(result: CellResult, bytes: number): void {
    const cell = this.#current ?? this.#last;
    cell?.show(result, bytes);
    this.#tell(cell, { case: "result", value: result }, bytes);
  }

  #onUpdate(result: CellResult, bytes: number): void {
    this.cells.update(result, bytes);
    this.#tell(this.#current ?? this.#last, { case: "update", value: result }, bytes);
  }

  #onInput(request: InputRequest, bytes: number): void {
    const cell = this.#current;
    if (cell === undefined || !cell.spec.input)
      throw new WordError("it asked where nobody answers");
    cell.ask(request);
    this.#tell(cell, { case: "inputRequest", value: request }, bytes);
  }

  #onError(error: CellError, bytes: number): void {
    const cell = this.#current;
    if (cell === undefined) throw new WordError("it told the error of no cell");
    cell.message.error = error;
    this.#tell(cell, { case: "error", value: error }, bytes);
  }

  #onEnded(cell: Cell, outcome: Outcome): void {
    if (cell.message.status !== CellStatus.RUNNING) {
      throw new WordError("it ended a cell that it had not started");
    }
    const statuses = {
      ok: CellStatus.OK,
      error: CellStatus.ERROR,
      interrupted: cell.interrupted === undefined ? CellStatus.ERROR : CellStatus.INTERRUPTED,
    };
    if (outcome !== "ok" && !cell.spec.continueOnError) this.#skip();
    this.#finish(cell, statuses[outcome]);
    this.#next();
  }

  async #onEnd(kernel: Kernel, { reason, sandboxEnd }: KernelEnd): Promise<void> {
    if (kernel !== this.#kernel || this.message.status === Status.ENDED) return;
    this.#questions.settle();
    if (this.message.status === Status.STATUS_UNSPECIFIED) return; // #start tells
    const sandboxMessage =
      sandboxEnd === undefined ? undefined : `Its sandbox ended: ${sandboxEnd}`;
    if (this.message.status === Status.RESTARTING) {
      if (sandboxMessage !== undefined) this.end("sandbox");
      return; // #startAnew tells
    }
    const why = this.#killing ?? reason;
    if (this.#current !== undefined) {
      this.#skip();
      this.#die(this.#current, `The interpreter ended: ${why}. Its variables are lost.`);
    }
    if (sandboxMessage !== undefined) return this.end("sandbox");
    await this.#startAnew();
  }

  /** Of a cell that was never told to the interpreter. */
  #refused(cell: Cell, error: unknown): void {
    if (cell !== this.#current || cell.message.status !== CellStatus.QUEUED) return;
    const message = error instanceof SylaError ? error.message : "The interpreter was not reached.";
    this.#skip();
    this.#fail(cell, CellStatus.ERROR, create(CellErrorSchema, { name: "NotRun", message }));
    this.#next();
  }

  #die(cell: Cell, message: string): void {
    const error = create(CellErrorSchema, { name: "InterpreterEnded", message });
    this.#fail(cell, CellStatus.DIED, error);
  }

  #fail(cell: Cell, status: CellStatus, error: CellError): void {
    this.#tell(cell, { case: "error", value: error }, error.message.length);
    this.#finish(cell, status, error);
  }

  #finish(cell: Cell, status: CellStatus, error?: CellError): void {
    if (cell === this.#current) {
      this.#printEarly();
      this.#current = undefined;
      clearTimeout(this.#timeout);
      clearTimeout(this.#grace);
      this.#grace = undefined;
      this.#log.hurry(false);
    }
    const nowMs = this.#options.clock.now();
    cell.finish(status, error, nowMs);
    this.message.activeAt = timestampFromMs(nowMs);
    this.#tell(cell, { case: "ended", value: cell.brief() }, cell.expressionsBytes);
    cell.lastEvent = this.message.lastEvent;
    this.cells.trim();
    cell.settle();
  }

  /** Those that wait do not start. */
  #skip(): void {
    for (const cell of this.#waiting.splice(0)) this.#finish(cell, CellStatus.SKIPPED);
  }

  #signal(): void {
    const signalling = this.#kernel?.signal("SIGINT").catch(() => {});
    this.#signalling = signalling;
    void signalling?.then(() => {
      if (this.#signalling === signalling) this.#signalling = undefined;
    });
  }

  #kill(why: string): void {
    this.#killing = why;
    void this.#kernel?.signal("SIGKILL");
  }

  #askedTooMuch(kernel: Kernel | undefined, isOpen: () => boolean): void {
    this.#signal();
    setTimeout(() => {
      if (kernel === this.#kernel && isOpen()) this.#kill("it did not answer a question");
    }, this.#options.config.graceMs).unref();
  }

  #become(status: Status): void {
    this.message.status = status;
    this.#log.appendSession(this.message);
    this.touch();
    this.#options.changed();
  }

  #tell(cell: Cell | undefined, event: SessionEventInit, bytes: number): void {
    this.message.lastEvent = this.#log.next;
    this.#log.append(cell?.message.id ?? 0, event, bytes);
  }
}
