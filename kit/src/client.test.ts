import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { FileEntrySchema, FileService } from "@syla/contract/syla/sandbox/v1/file";
import { type Client, createClient } from "./client.ts";
import { createDispatcher, implement } from "./dispatch.ts";
import { SylaError } from "./error.ts";

const refuse = () => Promise.reject(new SylaError("unimplemented", "Not in this test."));
async function* refuseStream(): AsyncGenerator<never> {
  yield await refuse();
}

/** A client whose uploads count their bytes, and are refused at the first empty one. */
function uploads(): Client<typeof FileService> {
  const files = implement(FileService, {
    ...{ readFile: refuse, writeFiles: refuse, listFiles: refuse, statFile: refuse },
    ...{ makeDirectory: refuse, moveFile: refuse, removeFile: refuse, presignFile: refuse },
    ...{ watchFiles: refuseStream, downloadFile: refuseStream, downloadArchive: refuseStream },
    ...{ downloadPresigned: refuseStream, uploadPresigned: refuse, uploadArchive: refuse },
    uploadFile: async (requests) => {
      let sizeBytes = 0;
      for await (const { data } of requests) {
        if (data.length === 0) throw new SylaError("sandbox_disk_full", "It is full.");
        sizeBytes += data.length;
      }
      return create(FileEntrySchema, { sizeBytes });
    },
  });
  return createClient(FileService, createDispatcher([files], []));
}

async function* pieces(...texts: readonly string[]) {
  for (const text of texts) yield { data: Buffer.from(text) };
}

test("createClient() gives a stream of requests its one answer", async () => {
  const { sizeBytes } = await uploads().uploadFile(pieces("ab", "c"));
  assert.equal(sizeBytes, 3);
});

test("a stream of requests ends with the error of its handler, and with its own", async () => {
  await assert.rejects(uploads().uploadFile(pieces("ab", "")), { code: "sandbox_disk_full" });
  async function* broken() {
    yield { data: Buffer.from("a") };
    throw new SylaError("cancelled", "It broke off.");
  }
  await assert.rejects(uploads().uploadFile(broken()), { code: "cancelled" });
  const ended = AbortSignal.abort();
  await assert.rejects(uploads().uploadFile(pieces("a"), { signal: ended }), { code: "cancelled" });
});
