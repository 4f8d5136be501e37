// Finds a key that an object in a JSON text has twice. `JSON.parse` keeps the last one and says nothing; what a proxy
// that keeps the first has checked would then not be what is run (RFC 8259, section 4). It takes about as long as the
// parsing, a microsecond for a usual request.

// What is nested deeper than this is looked at no further; whoever reads the value refuses it long before.
const depthMax = 200;

const space = 0x20;
const quote = 0x22;
const colon = 0x3a;
const backslash = 0x5c;
const opening = 0x7b;
const closing = 0x7d;

/** A key that occurs twice in one object of a text, which is known to be JSON. */
export function findRepeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === opening) {
      if (open.length === depthMax) return undefined;
      open.push(new Set());
    } else if (char === closing) open.pop();
    else if (char === quote) {
      const end = stringEnd(text, at);
      if (isKey(text, end)) {
        const key = readKey(text.slice(at + 1, end - 1));
        const keys = open.at(-1);
        if (keys?.has(key) === true) return key;
        keys?.add(key);
      }
      at = end - 1;
    }
  }
  return undefined;
}

function stringEnd(text: string, start: number): number {
  let last = text.indexOf('"', start + 1);
  while (isEscaped(text, last)) last = text.indexOf('"', last + 1);
  return last + 1;
}

function isEscaped(text: string, at: number): boolean {
  let before = at - 1;
  while (text.charCodeAt(before) === backslash) before -= 1;
  return (at - before) % 2 === 0;
}

function isKey(text: string, end: number): boolean {
  let next = end;
  while (text.charCodeAt(next) <= space) next += 1;
  return text.charCodeAt(next) === colon;
}

function readKey(written: string): string {
  return written.includes("\\") ? String(JSON.parse(`"${written}"`)) : written;
}
