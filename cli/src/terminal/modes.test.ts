import assert from "node:assert/strict";
import { test } from "node:test";
import { EscapeReader, TerminalModes, withoutQuestions } from "./modes.ts";

const always = "\u001B>\u001B(B\u000F\u001B[0m\u001B7\u001B[r\u001B8";

test("TerminalModes switches back what output has switched, and nothing else", () => {
  const modes = new TerminalModes();
  assert.equal(modes.restoring(), always);
  modes.see("\u001B[?1049h\u001B[?25l text \u001B[?1000;1006h\u001B[?20");
  modes.see("04h\u001B[?1000l");
  const back = "\u001B[?1049l\u001B[?25h\u001B[?1006l\u001B[?2004l";
  assert.equal(modes.restoring(), back + always);
  assert.equal(modes.restoring(), always);
});

test("withoutQuestions() takes out what a terminal answers to, and leaves what it shows", () => {
  const questions = ["\u001B[6n", "\u001B[c", "\u001B[>c", "\u001B[?2026$p", "\u001B]11;?\u0007"];
  assert.equal(withoutQuestions(`a${questions.join("b")}c`), "abbbbc");
  const shown = "\u001B[31mred\u001B[0m \u001B[2J\u001B]0;title\u0007";
  assert.equal(withoutQuestions(shown), shown);
});

const reads: readonly (readonly [typed: string, sent: string, left: boolean])[] = [
  ["ls ~.\r", "ls ~.\r", false],
  ["ls\r~.x", "ls\r", true],
  ["~.", "", true],
  ["~~.", "~.", false],
  ["~/bin\r~", "~/bin\r", false],
];

for (const [typed, sent, left] of reads) {
  test(`EscapeReader reads ${JSON.stringify(typed)} whole and key by key`, () => {
    const whole = new EscapeReader().take(Buffer.from(typed));
    assert.deepEqual([Buffer.from(whole.bytes).toString(), whole.left], [sent, left]);
    const reader = new EscapeReader();
    let text = "";
    let out = false;
    for (const key of typed) {
      const read = reader.take(Buffer.from(key));
      text += Buffer.from(read.bytes).toString();
      out = read.left;
      if (out) break;
    }
    assert.deepEqual([text, out], [sent, left]);
  });
}
