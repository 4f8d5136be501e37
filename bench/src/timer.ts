// A process that times other processes (timer.c), built when it is first needed.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { buildC } from "./build.ts";

/** A program's absolute path and its arguments. */
export type Command = readonly string[];

const source = new URL("timer.c", import.meta.url);

/** Runs commands one after another, and tells how long all of them took together. */
export class Timer {
  readonly #child;
  #answer: ((line: string) => void) | undefined;

  constructor() {
    this.#child = spawn(buildC("timer", readFileSync(source, "utf8")), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (line) => this.#answer?.(line));
    this.#child.once("exit", () => this.#answer?.("it ended"));
  }

  /** In milliseconds; rejects when one of them fails. One call at a time. */
  async time(...commands: readonly Command[]): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#answer = resolve;
    const line = commands.map((command) => command.join("\x1f")).join("\x1e");
    this.#child.stdin.write(`${line}\n`);
    const answer = await promise;
    if (!/^\d+$/.test(answer)) throw new Error(`Cannot measure: ${answer}.`);
    return Number(answer) / 1e6;
  }

  async close(): Promise<void> {
    const exited = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.stdin.end();
    await exited;
  }
}
