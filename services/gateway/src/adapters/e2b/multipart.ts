// A form's files as they come (RFC 7578), so that none needs to be in memory whole: what precedes a boundary is passed
// on, and no more is held back than could be the beginning of one.
import { SylaError } from "@syla/kit/error";

/** A file of a form; its content is to be read to the end before the next one is asked for. */
export interface FormFile {
  /** The name that it was sent with; a whole path, from E2B's SDKs. */
  readonly name: string;
  readonly content: AsyncIterable<Buffer>;
}

const headBytesMax = 16_384;
const lineEnd = "\r\n";

/** The files that a form has under a field's name. */
export async function* formFiles(
  contentType: string,
  field: string,
  body: AsyncIterable<Buffer>,
): AsyncGenerator<FormFile> {
  const [, quoted, plain] =
    /;\s*boundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw notForm("it names no boundary");
  const reader = new Reader(body);
  const delimiter = Buffer.from(`${lineEnd}--${boundary}`);
  await passOver(reader.until(delimiter));
  for (;;) {
    const head = await reader.head();
    if (head === undefined) return;
    const content = reader.until(delimiter);
    if (head.field === field && head.name !== undefined) yield { name: head.name, content };
    await passOver(content);
  }
}

async function passOver(content: AsyncGenerator<Buffer>): Promise<void> {
  while ((await content.next()).done !== true);
}

function notForm(why: string): SylaError {
  return new SylaError("invalid_request", `Cannot read the body as a form: ${why}.`);
}

class Reader {
  readonly #source: AsyncIterator<Buffer>;
  // A form may begin with its first boundary, which elsewhere has a line's end before it.
  #held: Buffer = Buffer.from(lineEnd);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** What comes before a delimiter, which is passed over. */
  async *until(delimiter: Buffer): AsyncGenerator<Buffer> {
    for (;;) {
      const at = this.#held.indexOf(delimiter);
      const end = at === -1 ? this.#held.length - delimiter.length + 1 : at;
      const before = this.#held.subarray(0, Math.max(0, end));
      this.#held = this.#held.subarray(before.length + (at === -1 ? 0 : delimiter.length));
      if (before.length > 0) yield before;
      if (at !== -1) return;
      await this.#more();
    }
  }

  /** A part's head; undefined after the last one. */
  async head(): Promise<{ field: string | undefined; name: string | undefined } | undefined> {
    while (this.#held.length < 2) await this.#more();
    if (this.#held.subarray(0, 2).toString() === "--") return undefined;
    const end = `${lineEnd}${lineEnd}`;
    while (!this.#held.includes(end)) {
      if (this.#held.length > headBytesMax) throw notForm("the head of a part is too long");
      await this.#more();
    }
    const at = this.#held.indexOf(end);
    const text = this.#held.subarray(0, at).toString("utf8");
    this.#held = this.#held.subarray(at + end.length);
    const disposition = /^content-disposition:(.*)$/im.exec(text)?.[1] ?? "";
    return { field: parameter(disposition, "name"), name: parameter(disposition, "filename") };
  }

  async #more(): Promise<void> {
    const step = await this.#source.next();
    if (step.done === true) throw notForm("it ends before its last boundary");
    this.#held = Buffer.concat([this.#held, step.value]);
  }
}

// The characters that would end it are escaped as HTML's forms do it.
function parameter(disposition: string, name: string): string | undefined {
  const text = new RegExp(`;\\s*${name}="([^"]*)"`, "i").exec(disposition)?.[1];
  return text?.replaceAll(/%(?:22|0D|0A)/gi, (escaped) => decodeURIComponent(escaped));
}
