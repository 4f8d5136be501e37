// Lines of a stream of bytes. They end with a line feed and nothing else: JSON may hold every other character that some
// would take for the end of a line, as Node's readline does with U+2028.
import { platformFailure } from "./failure.ts";

/** The largest body that a platform can be set to take; nothing longer can be of use. */
const charsMax = 256 * 1024 ** 2;

/** The lines of a stream, without their ends; the last need not have one. */
export async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let chars = 0;
  for await (const chunk of source) {
    const [first = "", ...more] = decoder.decode(chunk, { stream: true }).split("\n");
    parts.push(first);
    chars += first.length;
    if (chars > charsMax) throw platformFailure(`A line is longer than ${charsMax} characters.`);
    for (const next of more) {
      yield parts.join("");
      parts = [next];
      chars = next.length;
    }
  }
  const last = parts.join("") + decoder.decode();
  if (last !== "") yield last;
}
