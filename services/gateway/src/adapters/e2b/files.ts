// What is in files: E2B's SDKs read and write it by `/files`, one at a time as bytes or several as a form, and anyone
// who has a signed address by a browser. A signed address does not say which sandbox it is of, but only one has its
// signature.
import {
  type SandboxService,
  Sandbox_Status as Status,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Client } from "@syla/kit/client";
import type { LocalKey } from "@syla/kit/local-key";
import {
  type Adapter,
  type AdapterRequest,
  type AdapterRoute,
  jsonReply,
  type Reply,
  type StreamReply,
} from "../../adapters.ts";
import {
  codePort,
  isSigned,
  reachSandbox,
  sandboxHeader,
  sandboxPort,
  sandboxUser,
} from "./access.ts";
import { errorReply, explainFiles, goneReply, isGone, Refusal } from "./errors.ts";
import { absolute, inside } from "./home.ts";
import { type Writers, writeUploads } from "./uploads.ts";

/** What the files are reached by. */
export interface FilesOptions extends Writers {
  readonly sandboxes: Client<typeof SandboxService>;
  readonly key: LocalKey;
}

type Operation = "read" | "write";
type Handle = (request: AdapterRequest, sandbox: string) => Promise<Reply>;

const listPage = 1000;

/** The adapter of what a sandbox serves beside its calls. */
export function filesAdapter(options: FilesOptions): Adapter {
  const routes: readonly AdapterRoute[] = [
    route("GET", "/files", options.key, "read", (request, id) => readFile(options, request, id)),
    route("POST", "/files", options.key, "write", (request, id) =>
      writeFiles(options, request, id),
    ),
    { httpVerb: "GET", path: "/health", handle: (request) => health(options, request) },
    ...["/files/compose", "/metrics", "/envs"].flatMap((path) => absent(path)),
  ];
  const explain = explainFiles;
  return { name: "e2b-files", prefixes: [""], header: sandboxHeader, routes, explain };

  function absent(path: string): AdapterRoute[] {
    const message = `Syla does not serve ${path} for E2B's clients.`;
    const handle = async () => errorReply(501, message);
    return verbs.map((verb) => ({ httpVerb: verb, path, handle }));
  }
}

const verbs = ["GET", "POST"] as const;

/** The adapter of signed addresses, which come without a header. */
export function signedFilesAdapter(options: FilesOptions): Adapter {
  const signed = (operation: Operation, handle: Handle) => async (request: AdapterRequest) => {
    const sandbox = await signedSandbox(options, request, operation);
    if (sandbox === undefined) return errorReply(401, "the signature is not valid here");
    return attempt(sandbox, () => handle(request, sandbox));
  };
  return {
    name: "e2b-signed-files",
    prefixes: [""],
    routes: [
      {
        httpVerb: "GET",
        path: "/files",
        handle: signed("read", (request, id) => readFile(options, request, id)),
      },
      {
        httpVerb: "POST",
        path: "/files",
        handle: signed("write", (request, id) => writeFiles(options, request, id)),
      },
    ],
    explain: explainFiles,
  };
}

function route(
  httpVerb: AdapterRoute["httpVerb"],
  path: string,
  key: LocalKey,
  operation: Operation,
  handle: Handle,
): AdapterRoute {
  return {
    httpVerb,
    path,
    handle: async (request) => {
      const reached = reachSandbox(key, request, { operation });
      if (reached.kind === "refused") return reached.reply;
      if (reached.kind === "stranger") return errorReply(401, reached.message);
      return attempt(reached.sandbox, () => handle(request, reached.sandbox));
    },
  };
}

async function attempt(sandbox: string, work: () => Promise<Reply>): Promise<Reply> {
  try {
    return await work();
  } catch (thrown) {
    if (isGone(thrown)) return goneReply(sandbox);
    if (thrown instanceof Refusal) return errorReply(400, thrown.message);
    throw thrown;
  }
}

/** Whose the signature of an address is; there are not many that it can be of. */
async function signedSandbox(
  { sandboxes, key }: FilesOptions,
  { query, context: parent }: AdapterRequest,
  operation: Operation,
): Promise<string | undefined> {
  if (!query.has("signature")) return undefined;
  let pageToken = "";
  do {
    const request = { filter: 'status = "RUNNING"', pageSize: listPage, pageToken };
    // On the gateway's own account: who asks is known by what is found.
    const page = await sandboxes.listSandboxes(request, { signal: parent.signal });
    const found = page.sandboxes.find(({ id }) => isSigned(key, id, { operation, query }));
    if (found !== undefined) {
      parent.principal = sandboxUser;
      return found.id;
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return undefined;
}

/** The same question at both ports; each has an answer of its own. */
async function health({ sandboxes, key }: FilesOptions, request: AdapterRequest): Promise<Reply> {
  const reached = reachSandbox(key, request, { ports: [sandboxPort, codePort] });
  if (reached.kind === "refused") return reached.reply;
  if (reached.kind === "stranger") return errorReply(401, reached.message);
  const { sandbox: id, port } = reached;
  return attempt(id, async () => {
    const { status } = await sandboxes.getSandbox({ id }, { parent: request.context });
    if (status !== Status.RUNNING) return goneReply(id);
    if (port === codePort) return jsonReply(200, "OK");
    return { kind: "whole", status: 204, contentType: "", text: "" };
  });
}

async function readFile(
  { files }: FilesOptions,
  { query, context: parent }: AdapterRequest,
  sandbox: string,
): Promise<Reply> {
  const path = inside(absolute(query.get("path") ?? ""));
  const parts = files.downloadFile({ sandbox, path }, { parent })[Symbol.asyncIterator]();
  // What cannot be read is told before there is an answer.
  await parts.next();
  return bytesReply(dataOf({ [Symbol.asyncIterator]: () => parts }));
}

async function* dataOf(
  parts: AsyncIterable<{ readonly data: Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  for await (const { data } of parts) yield data;
}

// Never as what a browser would show: it is the sandbox's word, and this is not its address.
function bytesReply(chunks: AsyncIterable<Uint8Array>): StreamReply {
  return { kind: "stream", status: 200, contentType: "application/octet-stream", chunks };
}

async function writeFiles(
  options: FilesOptions,
  request: AdapterRequest,
  sandbox: string,
): Promise<Reply> {
  if (Object.keys(request.raw.headers).some((name) => name.startsWith("x-metadata-"))) {
    return errorReply(400, "file metadata is not supported");
  }
  const path = request.query.get("path") ?? "";
  const written = await writeUploads(options, request, { sandbox, path });
  const told = written.map((at) => {
    return { path: at, name: at.slice(at.lastIndexOf("/") + 1), type: "file" };
  });
  return jsonReply(200, told);
}
