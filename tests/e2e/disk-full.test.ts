// A data folder on a disk that is full: what cannot be kept is refused with its reason, and when there is room again
// everything works without a restart. The disk is a small tmpfs, so only root can make it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { execute, parseExecution, parseProblem, post } from "../api.ts";
import { startPlatform } from "../platform.ts";
import { eventually } from "./shared.ts";

const diskMiB = 200;
const spec = { language: "python", code: "print('x' * 200_000)" };

/** Takes the room that is left on a disk, whoever else takes of it meanwhile. */
function fill(directory: string): string {
  const file = join(directory, "filler");
  const descriptor = openSync(file, "w");
  for (let bytes = 1024 ** 2; bytes >= 4096;) {
    try {
      writeSync(descriptor, Buffer.alloc(bytes));
    } catch {
      bytes /= 2;
    }
  }
  closeSync(descriptor);
  return file;
}

test("a full disk refuses what cannot be kept, and recovers by itself", async (context) => {
  if (process.getuid?.() !== 0) return context.skip("not root: no disk of its own");
  const directory = mkdtempSync(join(tmpdir(), "syla-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskMiB}m`, "tmpfs", directory]);
  chmodSync(directory, 0o755);
  const platform = await startPlatform({ data: join(directory, "data") });
  try {
    assert.equal((await execute(platform, spec)).status, "SUCCEEDED");
    const filler = fill(directory);
    await eventually("an execution is refused", async () => {
      const response = await post(platform, "/api/v1/executions", spec);
      const answer: unknown = await response.json();
      if (response.status === 201) return false;
      const problem = parseProblem(answer);
      assert.equal(response.status, 503);
      assert.match(problem.code, /^(storage_full|database_unavailable)$/);
      return true;
    });
    rmSync(filler);
    await eventually("executions are accepted again", async () => {
      const response = await post(platform, "/api/v1/executions", spec);
      const answer: unknown = await response.json();
      if (response.status !== 201) return false;
      return parseExecution(answer).status === "PENDING";
    });
    assert.equal(await platform.stop(), 0);
  } finally {
    await platform.kill();
    execFileSync("umount", ["--lazy", directory]);
    rmSync(directory, { recursive: true, force: true });
  }
  return undefined;
});
