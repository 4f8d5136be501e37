// Files and folders in and out of a sandbox as streams of bytes: by REST, as curl would, and by gRPC.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { FileService } from "@syla/contract/syla/sandbox/v1/file";
import { UploadArchiveRequestSchema } from "@syla/contract/syla/sandbox/v1/transfer";
import { methodPath } from "@syla/kit/dispatch";
import { CallContext } from "@syla/kit/call";
import { connectGrpc } from "@syla/kit/grpc-client";
import { refusal } from "../api.ts";
import { type FileEntry, getOk, killSandbox, makeSandbox, pathOf, shell } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const scratch = mkdtempSync(join(tmpdir(), "syla-archives-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const at = (id: string, rest: string) => `${platform().url}${pathOf(id, rest)}`;

function put(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  more: RequestInit = {},
): Promise<Response> {
  return fetch(url, { method: "PUT", body, ...more });
}

async function bytesOf(response: Response): Promise<Buffer> {
  assert.ok(response.ok, String(response.status));
  return Buffer.from(await response.arrayBuffer());
}

async function unpacked(response: Response): Promise<Unpacked> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parseUnpacked(text);
}

interface Unpacked {
  readonly entries: number;
  readonly sizeBytes: number;
}

function parseUnpacked(text: string): Unpacked {
  return JSON.parse(text) as Unpacked;
}

function parseEntry(text: string): FileEntry {
  return JSON.parse(text) as FileEntry;
}

function makeTree(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(join(folder, "sub/empty"), { recursive: true });
  mkdirSync(join(folder, "locked"));
  writeFileSync(join(folder, "sub/program"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  writeFileSync(join(folder, "locked/note"), "ä\n", { mode: 0o600 });
  writeFileSync(join(folder, "large"), randomBytes(3_000_000));
  symlinkSync("../large", join(folder, "sub/link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  utimesSync(join(folder, "locked/note"), 1_500_000_000, 1_500_000_000);
  execFileSync("chmod", ["555", join(folder, "locked")]);
  return folder;
}

for (const [name, option, query] of [
  ["a tar", "--format=pax", ""],
  ["a tar in gzip", "-z", "?format=TAR_GZIP"],
] as const) {
  test(`a folder goes in and comes out as ${name}, with its modes, times and links`, async () => {
    const { id } = await makeSandbox(platform());
    const from = makeTree(option.slice(1, 4));
    const tar = execFileSync("tar", ["-c", option, "-f", "-", "-C", from, "."], {
      maxBuffer: 2 ** 24,
    });
    const { entries, sizeBytes } = await unpacked(
      await put(at(id, "/files:archive?path=in/it"), tar),
    );
    assert.deepEqual([entries, sizeBytes], [8, 3_000_000 + 19 + 3]);
    const told = await shell(
      platform(),
      id,
      "cd in/it; sub/program; readlink sub/link dangling; stat -c '%a %Y' locked/note; stat -c %a locked",
    );
    assert.equal(told.stdout, "ran\n../large\nnowhere\n600 1500000000\n555\n");
    const out = await fetch(at(id, `/files:archive${query === "" ? "?" : `${query}&`}path=in/it`));
    const type = query === "" ? "application/x-tar" : "application/gzip";
    assert.equal(out.headers.get("content-type"), type);
    assert.match(
      out.headers.get("content-disposition") ?? "",
      /attachment; filename="it.tar(.gz)?"/,
    );
    const into = join(scratch, `out${option}`);
    mkdirSync(into);
    const unpack = ["-x", "-p", ...(query === "" ? [] : ["-z"]), "-f", "-", "-C", into];
    execFileSync("tar", unpack, { input: await bytesOf(out) });
    assert.equal(readlinkSync(join(into, "sub/link")), "../large");
    assert.deepEqual(readFileSync(join(into, "large")), readFileSync(join(from, "large")));
    assert.equal(lstatSync(join(into, "sub/program")).mode & 0o777, 0o755);
    assert.equal(lstatSync(join(into, "locked")).mode & 0o777, 0o555);
    assert.equal(lstatSync(join(into, "locked/note")).mtimeMs, 1_500_000_000_000);
    assert.ok(lstatSync(join(into, "sub/empty")).isDirectory());
    await killSandbox(platform(), id);
  });
}

test("a second archive replaces files and links, and leaves what it does not name", async () => {
  const { id } = await makeSandbox(platform());
  const folder = join(scratch, "twice");
  mkdirSync(folder);
  writeFileSync(join(folder, "a"), "1");
  symlinkSync("a", join(folder, "l"));
  execFileSync("ln", [join(folder, "a"), join(folder, "hard")]);
  const tar = execFileSync("tar", ["-c", "-f", "-", "-C", folder, "."]);
  await unpacked(await put(at(id, "/files:archive"), tar));
  await shell(platform(), id, "echo other > a; echo mine > mine; ln -sf /etc/passwd l");
  await unpacked(await put(at(id, "/files:archive"), tar));
  const { stdout } = await shell(
    platform(),
    id,
    "cat a; readlink l; cat mine; stat -c %h hard; ls -A",
  );
  assert.equal(stdout, "1a\nmine\n2\na\nhard\nl\nmine\n");
});

test("an archive that leads out of its folder, by name or by its own links, does not", async () => {
  const { id } = await makeSandbox(platform());
  await shell(platform(), id, "mkdir elsewhere; echo kept > elsewhere/file");
  const absolute = execFileSync("tar", ["-c", "-P", "-f", "-", "/etc/hostname"]);
  const { detail } = await refusal(
    await put(at(id, "/files:archive"), absolute),
    400,
    "invalid_archive",
  );
  assert.match(detail ?? "", /'\/etc\/hostname' in it is an absolute path/);
  const link = join(scratch, "link");
  mkdirSync(link);
  symlinkSync("/work/elsewhere", join(link, "way"));
  const first = execFileSync("tar", ["-c", "-f", "-", "-C", link, "way"]);
  mkdirSync(join(scratch, "dir/way"), { recursive: true });
  writeFileSync(join(scratch, "dir/way/file"), "bent");
  const second = execFileSync("tar", ["-c", "-f", "-", "-C", join(scratch, "dir"), "way/file"]);
  // The link, and then a file that would lie behind it.
  const both = Buffer.concat([first.subarray(0, 512), second]);
  await refusal(await put(at(id, "/files:archive?path=in"), both), 409, "file_conflict");
  assert.equal((await shell(platform(), id, "cat elsewhere/file")).stdout, "kept\n");
});

test("what is no archive, or half of one, is refused, and nothing half-written stays", async () => {
  const { id } = await makeSandbox(platform());
  const random = createHash("sha512").update("x").digest();
  await refusal(await put(at(id, "/files:archive"), random), 400, "invalid_archive");
  await refusal(
    await put(at(id, "/files:archive?format=TAR_GZIP"), random),
    400,
    "invalid_archive",
  );
  const folder = join(scratch, "half");
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), randomBytes(500_000));
  const tar = execFileSync("tar", ["-c", "-z", "-f", "-", "-C", folder, "file"]);
  const half = await put(at(id, "/files:archive"), tar.subarray(0, tar.length / 2));
  await refusal(half, 400, "invalid_archive");
  assert.equal((await shell(platform(), id, "ls -A")).stdout, "");
  await refusal(await fetch(at(id, "/files:archive?path=nothing")), 404, "file_not_found");
  await refusal(await fetch(at(id, "/files:archive?path=/etc/passwd")), 409, "file_conflict");
});

test("a bomb stops at the sandbox's disk, and is told", async () => {
  const { id } = await makeSandbox(platform(), { limits: { diskBytes: String(8 * 2 ** 20) } });
  writeFileSync(join(scratch, "zeros"), "");
  truncateSync(join(scratch, "zeros"), 2 ** 26);
  const bomb = execFileSync("tar", ["-c", "-z", "-f", "-", "-C", scratch, "zeros"]);
  assert.ok(bomb.length < 200_000);
  await refusal(await put(at(id, "/files:archive"), bomb), 507, "sandbox_disk_full");
  const { stdout } = await shell(platform(), id, "ls -A; echo room > room && cat room");
  assert.equal(stdout, "room\n");
});

test("a file of any size goes in and out as it is, in whole and in parts", async () => {
  const { id } = await makeSandbox(platform());
  const bytes = randomBytes(20_000_000);
  const url = at(id, "/files:content?path=deep/file.bin");
  const written = await put(`${url}&mode=488`, bytes);
  const entry = parseEntry(await written.text());
  assert.deepEqual(
    [entry.path, entry.sizeBytes, entry.mode],
    ["/work/deep/file.bin", 20_000_000, 0o750],
  );
  const whole = await fetch(url);
  assert.deepEqual(
    ["content-type", "content-length", "accept-ranges"].map((name) => whole.headers.get(name)),
    ["application/octet-stream", "20000000", "bytes"],
  );
  assert.ok((await bytesOf(whole)).equals(bytes));
  const head = await fetch(url, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "20000000");
  const part = async (range: string) => {
    const response = await fetch(url, { headers: { range } });
    const told = [response.status, response.headers.get("content-range")];
    return [...told, Buffer.from(await response.arrayBuffer())];
  };
  assert.deepEqual(await part("bytes=5-9"), [206, "bytes 5-9/20000000", bytes.subarray(5, 10)]);
  const end = "bytes 19999997-19999999/20000000";
  assert.deepEqual(await part("bytes=-3"), [206, end, bytes.subarray(-3)]);
  assert.deepEqual(await part("bytes=19999997-"), [206, end, bytes.subarray(-3)]);
  assert.equal((await part("bytes=20000000-"))[0], 416);
  assert.equal((await part("bytes=1-2,4-5"))[0], 200);
  await put(url, "");
  assert.equal((await bytesOf(await fetch(url))).length, 0);
  assert.match(
    (await bytesOf(await fetch(at(id, "/files:content?path=/proc/self/status")))).toString(),
    /^Name:/,
  );
});

test("what a file cannot be written to or read from is told, before all of it was sent", async () => {
  const { id } = await makeSandbox(platform(), { limits: { diskBytes: String(4 * 2 ** 20) } });
  const large = Buffer.alloc(12 * 2 ** 20);
  const full = await put(at(id, "/files:content?path=large"), large).catch(() => undefined);
  if (full !== undefined) await refusal(full, 507, "sandbox_disk_full");
  assert.equal((await shell(platform(), id, "ls -A")).stdout, "");
  await refusal(await put(at(id, "/files:content?path=/etc/x"), "x"), 403, "file_refused");
  await refusal(await fetch(at(id, "/files:content?path=none")), 404, "file_not_found");
  await refusal(await put(at(id, "/files:content"), "x"), 400, "invalid_request");
  const packed = { headers: { "content-encoding": "gzip" } };
  await refusal(
    await put(at(id, "/files:content?path=x"), "x", packed),
    415,
    "unsupported_media_type",
  );
});

test("an upload that breaks off leaves nothing", async () => {
  const { id } = await makeSandbox(platform());
  const url = new URL(at(id, "/files:content?path=half"));
  const sending = request(url, { method: "PUT", headers: { "content-length": "1000000" } });
  sending.on("error", () => undefined);
  sending.write(Buffer.alloc(500_000));
  const listed = async () => (await shell(platform(), id, "ls -A")).stdout;
  await eventually("it is begun", async () => (await listed()) !== "");
  sending.destroy();
  await eventually("nothing of it is left", async () => (await listed()) === "");
});

test("a reader that takes nothing holds up no more than its window", async () => {
  const { id } = await makeSandbox(platform(), { limits: { diskBytes: String(200 * 2 ** 20) } });
  await shell(platform(), id, "head -c 100M /dev/zero > large");
  const before = residentBytes();
  const response = await fetch(at(id, "/files:archive"));
  const reader = response.body?.getReader();
  await reader?.read();
  await sleep(500);
  assert.ok(residentBytes() - before < 50 * 2 ** 20, "what is not read is not kept");
  let bytes = 0;
  for (let step = await reader?.read(); step?.done === false; step = await reader?.read()) {
    bytes += step.value.length;
  }
  assert.ok(bytes > 99 * 2 ** 20);
});

test("archives of one sandbox on their way are bounded, and a reader that leaves makes room", async () => {
  const { id } = await makeSandbox(platform(), { limits: { diskBytes: String(200 * 2 ** 20) } });
  await shell(platform(), id, "head -c 100M /dev/zero > large");
  const leaving = new AbortController();
  const open = [0, 1, 2, 3].map(() => {
    return fetch(at(id, "/files:archive"), { signal: leaving.signal });
  });
  await Promise.all(open);
  await refusal(await fetch(at(id, "/files:archive")), 429, "archives_full");
  leaving.abort();
  await eventually("there is room", async () => {
    const response = await fetch(at(id, "/files:archive"), { method: "HEAD" });
    return response.status === 200;
  });
});

function residentBytes(): number {
  const status = readFileSync(`/proc/${platform().pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

for (const path of [
  "/files:archive",
  "/files:archive?format=TAR_GZIP",
  "/files:content?path=large",
]) {
  test(`${path} of a sandbox that is killed meanwhile is broken off, not short`, async () => {
    const { id } = await makeSandbox(platform(), { limits: { diskBytes: String(200 * 2 ** 20) } });
    await shell(platform(), id, "head -c 100M /dev/urandom > large");
    const response = await fetch(at(id, path));
    const reader = response.body?.getReader();
    await reader?.read();
    await killSandbox(platform(), id);
    await assert.rejects(async () => {
      for (let step = await reader?.read(); step?.done === false; step = await reader?.read());
    });
    await refusal(await fetch(at(id, path)), 410, "sandbox_ended");
  });
}

test("by gRPC an archive is a stream of messages, either way", async () => {
  const { id } = await makeSandbox(platform());
  const connection = connectGrpc([FileService], { address: platform().grpcAddress });
  try {
    const folder = join(scratch, "grpc");
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), "by gRPC");
    const tar = execFileSync("tar", ["-c", "-f", "-", "-C", folder, "file"]);
    async function* requests() {
      yield create(UploadArchiveRequestSchema, { sandbox: id, path: "to" });
      yield create(UploadArchiveRequestSchema, { data: tar });
    }
    const upload = connection.method(methodPath(FileService.method.uploadArchive));
    const answers = upload?.stream?.(requests(), new CallContext()) ?? [];
    for await (const answer of answers)
      assert.equal(answer.$typeName, "syla.sandbox.v1.UploadArchiveResponse");
    assert.equal((await shell(platform(), id, "cat to/file")).stdout, "by gRPC");
  } finally {
    connection.close();
  }
});

test("the description of the API says which bodies are bytes", async () => {
  const { paths } = await getOk<{ paths: Record<string, Record<string, unknown>> }>(
    platform(),
    "/openapi.json",
  );
  const content = paths["/api/v1/sandboxes/{sandbox}/files:content"];
  assert.match(JSON.stringify(content?.["put"]), /"requestBody":\{.*application\/octet-stream/);
  assert.match(JSON.stringify(content?.["get"]), /"Range".*application\/octet-stream/);
  assert.doesNotMatch(JSON.stringify(content?.["put"]), /"name":"data"/);
});
