// `/openapi.json`, and `/docs`: a page to read the API and try it, drawn in the browser from that description by
// Swagger UI. All that the page is made of is served from here, so it works without the internet, and its policy lets
// it load from and call nothing but this gateway.
import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import { comments } from "./comments.ts";
import { openApiDocument } from "./openapi.ts";
import type { RestRoute } from "../routes.ts";
import { registerStatic } from "./static.ts";

// Swagger UI's icons are in its style sheet, as data.
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const filePolicy = "default-src 'none'";

const own = (name: string) => new URL(`../../page/${name}`, import.meta.url);
const swaggerScript = new URL(import.meta.resolve("swagger-ui-dist/swagger-ui-bundle.js"));
const swaggerStyle = new URL(import.meta.resolve("swagger-ui-dist/swagger-ui.css"));

const html = "text/html; charset=utf-8";
const script = "text/javascript; charset=utf-8";
const style = "text/css; charset=utf-8";

const files: readonly (readonly [url: string, contentType: string, file: URL])[] = [
  ["/docs", html, own("index.html")],
  ["/docs/start.js", script, own("start.js")],
  ["/docs/page.css", style, own("page.css")],
  ["/docs/swagger-ui-bundle.js", script, swaggerScript],
  ["/docs/swagger-ui.css", style, swaggerStyle],
];

/** Registers the description and the page. */
export function registerDocs(
  fastify: FastifyInstance,
  routes: readonly RestRoute[],
  version: string,
): void {
  registerStatic(fastify, {
    url: "/openapi.json",
    contentType: "application/json",
    contentSecurityPolicy: filePolicy,
    load: async () =>
      Buffer.from(JSON.stringify(openApiDocument(routes, { version, comments: comments() }))),
  });
  for (const [url, contentType, file] of files) {
    registerStatic(fastify, {
      url,
      contentType,
      contentSecurityPolicy: contentType === html ? pagePolicy : filePolicy,
      load: () => readFile(file),
    });
  }
}
