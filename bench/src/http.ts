// As much of HTTP/1.1 as the clients here need: a request as text, and where an answer ends.

/** A request without a body is a GET, one with a POST of JSON. */
export function requestText(url: URL, body: string | undefined): string {
  const verb = body === undefined ? "GET" : "POST";
  const head = `${verb} ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n`;
  if (body === undefined) return `${head}\r\n`;
  const length = Buffer.byteLength(body);
  return `${head}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** Where the head and the whole of a buffer's first answer end, or undefined while it is not whole. */
export function answerEnds(buffer: Buffer): { head: number; body: number } | undefined {
  const headEnd = buffer.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const length = /content-length: (\d+)/i.exec(buffer.toString("latin1", 0, headEnd))?.[1];
  if (length === undefined) throw new Error("Cannot measure: an answer has no Content-Length.");
  const head = headEnd + 4;
  const body = head + Number(length);
  return buffer.length >= body ? { head, body } : undefined;
}
