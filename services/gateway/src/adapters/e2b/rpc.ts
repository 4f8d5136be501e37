// The calls that E2B's SDKs make to a sandbox: the Connect protocol (https://connectrpc.com/docs/protocol) in JSON over
// plain POST. A unary call is a JSON object each way; a stream is one message there and many back, each after a head of
// five bytes: flags and length. Their descriptors are E2B's, so they are read and written by hand here.
import type { JsonValue } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import type { LocalKey } from "@syla/kit/local-key";
import type { AdapterRequest, AdapterRoute, Reply, StreamReply } from "../../adapters.ts";
import { jsonReply, parseJson } from "../../adapters.ts";
import { reachSandbox } from "./access.ts";
import { connectError, explainCall, goneReply, isGone, Refusal } from "./errors.ts";
import { Fields } from "./fields.ts";
import { keptAlive, type Silence } from "./keepalive.ts";

/** A call to a sandbox. */
export interface Call {
  readonly sandbox: string;
  readonly fields: Fields;
  readonly context: CallContext;
  /** For how long its caller follows; undefined for as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** The routes of one service: a handler for each method. */
export interface Methods {
  readonly unary: Readonly<Record<string, (call: Call) => Promise<object>>>;
  readonly streams: Readonly<Record<string, StreamMethod>>;
}

interface StreamMethod {
  /** What is sent while there is nothing to tell. */
  readonly keepalive: object;
  readonly handle: (call: Call) => AsyncIterable<object>;
}

const streamType = "application/connect+json";
const headBytes = 5;
const endFlag = 2;
const timeoutMsMax = 86_400_000;
const keepaliveMsMin = 1000;
const keepaliveMsDefault = 50_000;

/** The routes of a service. */
export function rpcRoutes(service: string, methods: Methods, key: LocalKey): AdapterRoute[] {
  const unary = Object.entries(methods.unary).map(([name, handle]) => {
    return route(`/${service}/${name}`, key, async (request, sandbox) => {
      const fields = new Fields(await request.json());
      return jsonReply(200, await handle(callOf(request, sandbox, fields)));
    });
  });
  const streams = Object.entries(methods.streams).map(([name, { handle, keepalive }]) => {
    return route(`/${service}/${name}`, key, async (request, sandbox) => {
      const fields = new Fields(readFrame(await request.bytes()));
      const silence = { keepalive, keepaliveMs: keepaliveOf(request) };
      return openStream(handle(callOf(request, sandbox, fields)), silence);
    });
  });
  return [...unary, ...streams];
}

function route(
  path: string,
  key: LocalKey,
  handle: (request: AdapterRequest, sandbox: string) => Promise<Reply>,
): AdapterRoute {
  return {
    httpVerb: "POST",
    path,
    handle: async (request) => {
      const reached = reachSandbox(key, request);
      if (reached.kind === "refused") return reached.reply;
      if (reached.kind === "stranger") {
        return explainCall(new Refusal("unauthenticated", reached.message));
      }
      try {
        return await handle(request, reached.sandbox);
      } catch (thrown) {
        if (isGone(thrown)) return goneReply(reached.sandbox);
        if (thrown instanceof Refusal) return explainCall(thrown);
        throw thrown;
      }
    },
  };
}

function callOf({ raw, context }: AdapterRequest, sandbox: string, fields: Fields): Call {
  const timeout = raw.headers["connect-timeout-ms"];
  const given = typeof timeout === "string" && /^\d{1,10}$/.test(timeout) ? Number(timeout) : 0;
  // No sandbox lives longer.
  const timeoutMs = given > 0 && given <= timeoutMsMax ? given : undefined;
  return { sandbox, fields, context, timeoutMs };
}

function keepaliveOf({ raw }: AdapterRequest): number {
  const seconds = Number(raw.headers["keepalive-ping-interval"]);
  return seconds > 0 ? Math.max(keepaliveMsMin, seconds * 1000) : keepaliveMsDefault;
}

// A stream's request is one message, not compressed.
function readFrame(bytes: Buffer): JsonValue {
  const length = bytes.length < headBytes ? -1 : bytes.readUInt32BE(1);
  if (bytes[0] !== 0 || bytes.length !== headBytes + length) {
    throw new Refusal("invalid_argument", "Cannot read the request: it is not one plain message.");
  }
  return parseJson(bytes.subarray(headBytes).toString("utf8"));
}

function frame(flag: number, message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** The answer to a call for a stream; throws only when there is no sandbox: other errors are the stream's end. */
async function openStream(
  messages: AsyncIterable<object>,
  silence: Silence<object>,
): Promise<StreamReply> {
  const iterator = messages[Symbol.asyncIterator]();
  const first = iterator.next();
  try {
    await first;
  } catch (thrown) {
    if (isGone(thrown)) throw thrown;
  }
  const chunks = frames(iterator, first, silence);
  return { kind: "stream", status: 200, contentType: streamType, chunks };
}

async function* frames(
  iterator: AsyncIterator<object>,
  first: Promise<IteratorResult<object>>,
  silence: Silence<object>,
): AsyncGenerator<Buffer> {
  try {
    for await (const message of keptAlive(iterator, first, silence)) yield frame(0, message);
    yield frame(endFlag, {});
  } catch (thrown) {
    yield frame(endFlag, { error: connectError(thrown) });
  }
}
