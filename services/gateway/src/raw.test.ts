// Bodies of bytes on a gateway whose file service is as large and as slow as a test wants it.
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { BodyHeadSchema } from "@syla/contract/syla/body/v1/body";
import { FileEntrySchema, FileService } from "@syla/contract/syla/sandbox/v1/file";
import {
  type DownloadFileRequest,
  type DownloadFileResponse,
  DownloadFileResponseSchema,
  type UploadFileRequest,
} from "@syla/contract/syla/sandbox/v1/transfer";
import { defaultsOf } from "@syla/kit/config";
import { createDispatcher, implement } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { validation } from "@syla/kit/validate";
import { gatewaySettings, startGateway } from "./main.ts";
import { until } from "./surface-fixture.ts";

const seen = { left: 0, asked: 0 };
const refuse = () => Promise.reject(new SylaError("unimplemented", "Not in this test."));
async function* refuseStream(): AsyncGenerator<never> {
  yield await refuse();
}

async function* download({
  path,
  range,
}: DownloadFileRequest): AsyncGenerator<DownloadFileResponse> {
  const part = (more: object) => create(DownloadFileResponseSchema, more);
  const start = range?.start ?? 0n;
  const known = { sizeBytes: 10n, lengthBytes: range?.length || 10n - start };
  const head = create(BodyHeadSchema, { contentType: "text/x-test", name: path, start, ...known });
  if (path === "refused") throw new SylaError("file_not_found", "There is nothing.");
  try {
    if (path !== "headless") yield part({ head: path === "endless" ? undefined : head });
    if (path === "cut") yield part({ data: Buffer.from("123") });
    if (path === "cut") throw new SylaError("sandbox_ended", "It is gone.");
    do {
      seen.asked += 1;
      const data = path === "endless" ? Buffer.alloc(65_536) : Buffer.from("0123456789");
      yield part({ data: data.subarray(Number(start), Number(start) + 65_536) });
    } while (path === "endless");
  } finally {
    seen.left += 1;
  }
}

async function upload(requests: AsyncIterable<UploadFileRequest>) {
  let sizeBytes = 0;
  let path = "";
  for await (const request of requests) {
    path ||= request.path;
    sizeBytes += request.data.length;
    if (path === "full" && sizeBytes > 0) throw new SylaError("sandbox_disk_full", "Full.");
  }
  return create(FileEntrySchema, { path, sizeBytes });
}

const files = implement(FileService, {
  ...{ readFile: refuse, writeFiles: refuse, listFiles: refuse, statFile: refuse },
  ...{ makeDirectory: refuse, moveFile: refuse, removeFile: refuse, presignFile: refuse },
  ...{ watchFiles: refuseStream, downloadArchive: refuseStream, uploadArchive: refuse },
  ...{ downloadPresigned: refuseStream, uploadPresigned: refuse },
  downloadFile: download,
  uploadFile: upload,
});
const nothing = () => undefined;
const gateway = await startGateway({
  dispatcher: createDispatcher([files], [validation()]),
  config: {
    ...defaultsOf(gatewaySettings),
    ...{ restPort: 0, grpcPort: 0, drainMs: 100 },
    ...{ requestTimeoutMs: 100, headersTimeoutMs: 100, timeoutCheckMs: 20, streamStallMs: 400 },
  },
  version: "1.2.3",
  log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  health: { live: () => true, ready: async () => ({ ready: true, checks: {} }) },
  metrics: { text: async () => ({ contentType: "text/plain", body: "" }) },
});
after(() => gateway.close());

const sandbox = "01890a5d-ac96-774b-bcce-b302099a8057";
const at = (path: string) =>
  `${gateway.restUrl}/api/v1/sandboxes/${sandbox}/files:content?path=${encodeURIComponent(path)}`;

async function told(path: string, init: RequestInit = {}) {
  const response = await fetch(at(path), init);
  const names = ["content-type", "content-length", "content-range", "content-disposition"];
  return [
    response.status,
    ...names.map((name) => response.headers.get(name)),
    await response.text(),
  ];
}

test("an answer of bytes has their type, length and name, and is nothing to show", async () => {
  const name = 'a"b\\ü.txt';
  assert.deepEqual(await told(name), [
    ...[200, "text/x-test", "10", null],
    `attachment; filename="a_b__.txt"; filename*=UTF-8''a%22b%5C%C3%BC.txt`,
    "0123456789",
  ]);
  const bare = ["application/octet-stream", null, null, "attachment"];
  assert.deepEqual(await told("headless"), [200, ...bare, "0123456789"]);
  const { headers } = await fetch(at("x"));
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  const head = await fetch(at("x"), { method: "HEAD" });
  assert.deepEqual([head.headers.get("content-length"), await head.text()], ["10", ""]);
});

test("a range is the method's own, and what is none is all of it", async () => {
  const ranged = async (range: string) => {
    const [status, , length, contentRange] = await told("x", { headers: { range } });
    return [status, length, contentRange];
  };
  assert.deepEqual(await ranged("bytes=4-"), [206, "6", "bytes 4-9/10"]);
  for (const range of ["bytes=5-4", "bytes=-0", "bytes=", "bytes=0-1,3-4", "lines=1-2", "x"]) {
    assert.deepEqual(await ranged(range), [200, "10", null], range);
  }
  const conditional = await told("x", { headers: { range: "bytes=4-", "if-range": '"v1"' } });
  assert.equal(conditional[0], 200);
});

test("a fault before the first byte is a problem, and one after it breaks off", async () => {
  const refused = await fetch(at("refused"));
  assert.equal(refused.status, 404);
  assert.match(await refused.text(), /file_not_found/);
  const cut = await fetch(at("cut"));
  assert.equal(cut.status, 200);
  await assert.rejects(cut.text());
});

test("a reader that takes nothing holds the method up, and one that leaves ends it", async () => {
  const leaving = new AbortController();
  const response = await fetch(at("endless"), { signal: leaving.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  await sleep(100);
  const { asked, left } = seen;
  await sleep(100);
  assert.equal(seen.asked, asked);
  leaving.abort();
  await until(() => seen.left > left, "the handler ended");
});

function sending(path: string): {
  write: (text: string) => void;
  end: () => void;
  status: Promise<number>;
} {
  const request = httpRequest(at(path), { method: "PUT" });
  const status = new Promise<number>((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
  });
  return { write: (text) => void request.write(text), end: () => void request.end(), status };
}

test("an upload may take longer than a request, as long as it goes on", async () => {
  const slow = sending("slow");
  for (let count = 0; count < 5; count += 1) {
    slow.write("piece");
    await sleep(60);
  }
  slow.end();
  assert.equal(await slow.status, 200);
  const stalled = sending("stalled");
  stalled.write("piece");
  await assert.rejects(stalled.status);
});

test("an upload that is refused is answered before it is over, and larger than any JSON may be", async () => {
  const full = sending("full");
  full.write("piece");
  assert.equal(await full.status, 507);
  full.end();
  const body = Buffer.alloc(10 * 1024 ** 2);
  const large = await fetch(at("large"), { method: "PUT", body });
  assert.match(await large.text(), /"sizeBytes":10485760/);
  const wrong = await fetch(`${at("x")}&data=eA==`, { method: "PUT", body: "x" });
  assert.equal(wrong.status, 400);
});
