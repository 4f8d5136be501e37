// The prompt of an interpreter: lines with history and completion, gathered until they are a whole cell, and the
// answers that a cell asks for. While a cell runs the keyboard stays ours, for Ctrl-C.
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import { CheckCodeResponse_Verdict as Verdict } from "@syla/contract/syla/session/v1/code";
import type { Syla } from "@syla/sdk";
import { historyLinesMax, readHistory, writeHistory } from "./history.ts";

/** How a cell or an answer was given: as text, by Ctrl-C instead, or not at all any more, by Ctrl-D. */
export type Typed =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "interrupted" }
  | { readonly kind: "end" };

/** What the prompt is for. */
export interface PromptOptions {
  readonly syla: Syla;
  readonly session: string;
  readonly language: string;
  /** Ctrl-C while nothing is asked. */
  readonly onInterrupt: () => void;
}

// A tab waits for no longer.
const courtesyTimeoutMs = 2_000;
// Lines that come together were pasted: they are one cell, and not looked at one by one.
const pasteMs = 30;

/** The terminal's lines, one at a time, however they come. */
export class Prompt {
  readonly #options: PromptOptions;
  readonly #lines: string[] = [];
  readonly #screen = new Screen();
  readonly #interface: Interface;
  #history: readonly string[];
  #asked: ((typed: Typed) => void) | undefined;
  #secret = false;
  #ended = false;
  /** What of the cell stands above the line that is being typed. */
  #above = "";

  static async open(options: PromptOptions): Promise<Prompt> {
    return new Prompt(options, await readHistory(options.language));
  }

  private constructor(options: PromptOptions, history: string[]) {
    this.#options = options;
    this.#history = history;
    this.#interface = createInterface({
      input: process.stdin,
      output: this.#screen,
      terminal: true,
      history,
      historySize: historyLinesMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: Completed) => void this.#complete(line, done),
    });
    this.#interface.on("line", (text) => this.#give(text));
    this.#interface.on("SIGINT", () => this.#interrupt());
    this.#interface.on("close", () => this.#end());
    this.#interface.on("history", (lines: string[]) => {
      if (this.#secret) lines.shift();
      this.#history = lines;
    });
  }

  /** A whole cell. */
  async readCell(): Promise<Typed> {
    let code: string | undefined;
    let indent = "";
    for (;;) {
      this.#above = code === undefined ? "" : `${code}\n`;
      const typed = await this.#readLine(code === undefined ? ">>> " : "... ", indent);
      if (typed.kind !== "text") return typed;
      code = this.#above + typed.text;
      const verdict = await this.#check(code);
      if (!verdict.goesOn) return { kind: "text", text: code };
      indent = verdict.indent;
    }
  }

  /** What a cell asks for; a password is neither shown nor remembered. */
  async readAnswer(prompt: string, password: boolean): Promise<Typed> {
    this.#secret = true;
    this.#screen.silent = password;
    try {
      if (password) process.stdout.write(prompt);
      return await this.#readLine(password ? "" : prompt, "");
    } finally {
      this.#secret = false;
      this.#screen.silent = false;
      if (password) process.stdout.write("\n");
    }
  }

  async close(): Promise<void> {
    this.#interface.close();
    process.stdin.pause();
    await writeHistory(this.#options.language, this.#history);
  }

  async #readLine(prompt: string, indent: string): Promise<Typed> {
    const waiting = this.#lines.splice(0);
    if (waiting.length > 0) return { kind: "text", text: waiting.join("\n") };
    if (this.#ended) return { kind: "end" };
    const { promise, resolve } = Promise.withResolvers<Typed>();
    this.#asked = resolve;
    this.#interface.setPrompt(prompt);
    this.#interface.prompt();
    if (indent !== "") this.#interface.write(indent);
    const first = await promise;
    if (first.kind !== "text" || this.#secret) return first;
    await new Promise((done) => setTimeout(done, pasteMs));
    return { kind: "text", text: [first.text, ...this.#lines.splice(0)].join("\n") };
  }

  #give(text: string): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked === undefined) this.#lines.push(text);
    else asked({ kind: "text", text });
  }

  #interrupt(): void {
    this.#lines.length = 0;
    const asked = this.#asked;
    if (asked === undefined) return this.#options.onInterrupt();
    this.#asked = undefined;
    process.stdout.write("^C\n");
    // What was typed of the line is taken back, but stays to be seen.
    this.#screen.silent = true;
    this.#interface.write(undefined, { ctrl: true, name: "e" });
    this.#interface.write(undefined, { ctrl: true, name: "u" });
    this.#screen.silent = false;
    asked({ kind: "interrupted" });
  }

  #end(): void {
    this.#ended = true;
    this.#asked?.({ kind: "end" });
    this.#asked = undefined;
  }

  async #check(code: string): Promise<{ goesOn: boolean; indent: string }> {
    const { syla, session } = this.#options;
    const { verdict, indent } = await syla.session.checkCode({ session, code });
    return { goesOn: verdict === Verdict.INCOMPLETE, indent };
  }

  async #complete(line: string, done: Completed): Promise<void> {
    if (line.trim() === "") return done(null, [[`${line}    `], line]);
    const { syla, session } = this.#options;
    const code = this.#above + line;
    const before = [...this.#above].length;
    try {
      const call = { timeoutMs: courtesyTimeoutMs };
      const cursor = before + [...line].length;
      const { matches, start } = await syla.session.completeCode({ session, code, cursor }, call);
      done(null, [[...matches], [...line].slice(Math.max(0, start - before)).join("")]);
    } catch {
      done(null, [[], line]);
    }
  }
}

type Completed = (error: null, result: [string[], string]) => void;

/** The terminal as the line editor writes to it; silent for what is not to be seen. */
class Screen extends Writable {
  silent = false;

  constructor() {
    super({ decodeStrings: false });
    process.stdout.on("resize", () => this.emit("resize"));
  }

  get columns(): number {
    return process.stdout.columns || 80;
  }

  get rows(): number {
    return process.stdout.rows || 24;
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.silent) done();
    else process.stdout.write(chunk, () => done());
  }
}
