// Pages that do not change while the gateway runs: made or read once, packed once for each compression, and answered
// with 304 to whoever has them already.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { FastifyInstance } from "fastify";
import { chooseEncoding } from "../answer.ts";

const pack = {
  br: (bytes: Buffer) =>
    promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 6 } }),
  gzip: (bytes: Buffer) => promisify(gzip)(bytes),
};

/** A page that does not change. */
export interface StaticPage {
  readonly url: string;
  readonly contentType: string;
  /** What the page may load and do (https://www.w3.org/TR/CSP3/). */
  readonly contentSecurityPolicy: string;
  /** Called once, at the first request. */
  load(): Promise<Buffer>;
}

interface Loaded {
  readonly etag: string;
  readonly bytes: Buffer;
  readonly br: Promise<Buffer>;
  readonly gzip: Promise<Buffer>;
}

/** Registers a page. */
export function registerStatic(fastify: FastifyInstance, page: StaticPage): void {
  let loaded: Promise<Loaded> | undefined;
  fastify.route({
    method: ["GET", "HEAD"],
    url: page.url,
    handler: async (request, reply) => {
      loaded ??= loadPage(page);
      // A page that could not be read is tried again.
      loaded.catch(() => (loaded = undefined));
      const answer = await loaded;
      reply.hijack();
      await sendPage(request.raw, reply.raw, page, answer);
    },
  });
}

async function loadPage(page: StaticPage): Promise<Loaded> {
  const bytes = await page.load();
  const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
  return { etag, bytes, br: pack.br(bytes), gzip: pack.gzip(bytes) };
}

async function sendPage(
  request: IncomingMessage,
  response: ServerResponse,
  page: StaticPage,
  loaded: Loaded,
): Promise<void> {
  const encoding = chooseEncoding(request);
  const headers = [
    "ETag",
    loaded.etag,
    "Cache-Control",
    "no-cache",
    "Vary",
    "Accept-Encoding",
    "X-Content-Type-Options",
    "nosniff",
    "Referrer-Policy",
    "no-referrer",
    "Content-Security-Policy",
    `${page.contentSecurityPolicy}; frame-ancestors 'none'`,
  ];
  if (hasPage(request.headers["if-none-match"], loaded.etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  const bytes = encoding === undefined ? loaded.bytes : await loaded[encoding];
  headers.push("Content-Type", page.contentType, "Content-Length", String(bytes.byteLength));
  if (encoding !== undefined) headers.push("Content-Encoding", encoding);
  response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : bytes);
}

function hasPage(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes("*") || tags.includes(etag);
}
