// What a program does to the terminal that it runs in. Programs in a sandbox may be cut off in the middle of anything:
// in an editor, on its second screen, the mouse told to it and the cursor hidden. So what they switch is followed, and
// switched back when they cannot do that any more.

// DEC's private modes that are on in a fresh terminal: wrapping at the margin, and the cursor.
const onAtFirst: ReadonlySet<number> = new Set([7, 25]);

// A sequence that is longer than this is none of those that are followed.
const heldCharsMax = 64;

/** The modes that output has switched, to switch them back. */
export class TerminalModes {
  readonly #switched = new Map<number, boolean>();
  /** What may be the beginning of a sequence. */
  #held = "";

  /** Follows a piece of output. */
  see(output: string): void {
    const text = this.#held + output;
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    for (const [, modes = "", to] of text.matchAll(/\u001B\[\?([\d;]+)([hl])/g)) {
      for (const mode of modes.split(";").map(Number)) {
        const on = to === "h";
        if (on === onAtFirst.has(mode)) this.#switched.delete(mode);
        else this.#switched.set(mode, on);
      }
    }
    const start = text.lastIndexOf("\u001B");
    this.#held = start < 0 || text.length - start > heldCharsMax ? "" : text.slice(start);
  }

  /** What makes the terminal as it was: the modes, then keypad, character set, colours and scrolling. */
  restoring(): string {
    const modes = [...this.#switched].map(([mode, on]) => `\u001B[?${mode}${on ? "l" : "h"}`);
    this.#switched.clear();
    return `${modes.join("")}\u001B>\u001B(B\u000F\u001B[0m\u001B7\u001B[r\u001B8`;
  }
}

/**
 * Output without what a terminal answers to: shown a second time, such a question would send an answer to a program
 * that does not expect one.
 */
export function withoutQuestions(output: string): string {
  return (
    output
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      .replaceAll(/\u001B\[[?>=]?[\d;]*(?:[cnx]|\$p|[>?]q|t)/g, "")
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      .replaceAll(/\u001B(?:\]\d+;(?:\d+;)?\?|P[+$]q[^\u001B]*)(?:\u0007|\u001B\\)/g, "")
  );
}

/** Reads `~.` at the beginning of a line, as ssh has it, for who wants to leave; `~~` is a `~`. */
export class EscapeReader {
  #atLineStart = true;
  #held = false;

  /** What of it is for the inside, and whether to leave. */
  take(chunk: Uint8Array): { readonly bytes: Uint8Array; readonly left: boolean } {
    const bytes: number[] = [];
    for (const byte of chunk) {
      if (this.#held && byte === dot) return { bytes: Uint8Array.from(bytes), left: true };
      if (this.#atLineStart && !this.#held && byte === tilde) {
        this.#held = true;
        continue;
      }
      if (this.#held && byte !== tilde) bytes.push(tilde);
      this.#held = false;
      bytes.push(byte);
      this.#atLineStart = byte === lineFeed || byte === carriageReturn;
    }
    return { bytes: Uint8Array.from(bytes), left: false };
  }
}

const tilde = 0x7e;
const dot = 0x2e;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
