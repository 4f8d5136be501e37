// `/openapi.json`, and `/docs`: pages to read the API and try it, drawn in the browser from that description. The
// program that draws them is served from here too, so they work without the internet, and the policy of the page lets
// it load from and call nothing but this gateway.
import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import { comments } from "./comments.ts";
import { openApiDocument } from "./openapi.ts";
import type { RestRoute } from "./routes.ts";
import { registerStatic } from "./static.ts";

// The page's program sets styles of its own making; scripts come only from files of this gateway.
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const settings = {
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  mcp: { disabled: true },
  agent: { disabled: true },
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
};

/** Registers the description and the pages. */
export function registerDocs(
  fastify: FastifyInstance,
  routes: readonly RestRoute[],
  version: string,
): void {
  registerStatic(fastify, {
    url: "/openapi.json",
    contentType: "application/json",
    contentSecurityPolicy: "default-src 'none'",
    load: async () =>
      Buffer.from(JSON.stringify(openApiDocument(routes, { version, comments: comments() }))),
  });
  registerStatic(fastify, {
    url: "/docs",
    contentType: "text/html; charset=utf-8",
    contentSecurityPolicy: pagePolicy,
    load: async () => Buffer.from(page()),
  });
  registerStatic(fastify, {
    url: "/docs/reference.js",
    contentType: "text/javascript; charset=utf-8",
    contentSecurityPolicy: "default-src 'none'",
    load: () => readFile(program()),
  });
}

// The one file of the package that runs in a page as it is.
function program(): URL {
  return new URL("browser/standalone.js", import.meta.resolve("@scalar/api-reference"));
}

function page(): string {
  const configuration = JSON.stringify(settings).replaceAll('"', "&quot;");
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Syla API</title>
    <link rel="icon" href="data:,">
  </head>
  <body>
    <noscript>This page needs JavaScript. The description itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
    <script id="api-reference" data-url="/openapi.json" data-configuration="${configuration}"></script>
    <script src="/docs/reference.js"></script>
  </body>
</html>
`;
}
