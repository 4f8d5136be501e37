import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { it } from "node:test";
import { probeHost } from "./host.ts";

it("probeHost() finds this host able, or says for each thing that is missing what to type", async () => {
  const found = await probeHost();
  const names = found.map((one) => one.name);
  for (const name of ["bubblewrap", "cgroups", "seccomp", "C compiler", "jail", "copy-on-write"]) {
    assert.ok(names.includes(name), name);
  }
  for (const { ok, detail, remedy, name } of found) {
    assert.ok(detail.length > 0, name);
    assert.equal(remedy === undefined, ok, name);
  }
});

it("probeHost() says not found, with the remedy, for a program that is not there", async () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nonexistent";
  try {
    const bubblewrap = (await probeHost()).find((one) => one.name === "bubblewrap");
    assert.deepEqual(bubblewrap, {
      name: "bubblewrap",
      required: true,
      ok: false,
      detail: "not found",
      remedy: "apt-get install -y bubblewrap",
    });
  } finally {
    process.env["PATH"] = path;
  }
});

it("probeHost() finds the same beside a platform's data, wherever that is named from", async () => {
  const folder = mkdtempSync(join(tmpdir(), "syla-host-test-"));
  try {
    const dataDirectory = relative(process.cwd(), folder);
    assert.deepEqual(await probeHost({ dataDirectory }), await probeHost());
    assert.deepEqual(readdirSync(folder), ["agent"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
