// Heads as HTTP/1.1 has them: names and values in turn, in order, repeated ones kept apart.

/** One header; the name as it was sent. */
export type Header = readonly [name: string, value: string];

/** Those of one connection, which a proxy does not pass on (RFC 9110, 7.6.1), and what is written anew. */
const ofConnection = new Set([
  ...["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"],
  ...["te", "trailer", "transfer-encoding", "upgrade"],
]);

/** A raw head without what is of its connection alone, and what that names as such. */
export function endToEnd(raw: readonly string[]): Header[] {
  const headers: Header[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) headers.push([raw[at] ?? "", raw[at + 1] ?? ""]);
  const named = headers
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(","))
    .map((name) => name.trim());
  const dropped = new Set([...ofConnection, ...named]);
  // What tells where the body ends is nobody's to name.
  dropped.delete("content-length");
  return headers.filter(([name]) => !dropped.has(name.toLowerCase()));
}

/** As Node takes them. */
export function flat(headers: readonly Header[]): string[] {
  return headers.flat();
}
