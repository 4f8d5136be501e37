// Splits a line of arguments as a shell does (POSIX, 2.2 Quoting), and does no more than that: Judge0 writes the line
// into a script, for which it takes out every $ & ; < > | and backquote. Here no shell sees it, so they are kept.

type Quote = "'" | '"' | undefined;

const blank = /[ \t\n]/;
/** What a backslash between double quotes takes its meaning from. */
const escapable = /["\\$`]/;

/** The arguments of a line; undefined when a quote or a backslash in it has no end. */
export function splitArguments(line: string): readonly string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote: Quote;
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (char === quote) quote = undefined;
    else if (quote === undefined && (char === "'" || char === '"')) {
      quote = char;
      word ??= "";
    } else if (quote === undefined && blank.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === "\\" && quote !== "'") {
      at += 1;
      if (at === line.length) return undefined;
      word = (word ?? "") + unescape(line.charAt(at), quote);
    } else word = (word ?? "") + char;
  }
  if (quote !== undefined) return undefined;
  return word === undefined ? words : [...words, word];
}

function unescape(char: string, quote: Quote): string {
  if (char === "\n") return "";
  return quote === undefined || escapable.test(char) ? char : `\\${char}`;
}
