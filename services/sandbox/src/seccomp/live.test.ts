/** The filter in the kernel: every denied probe has a control that runs without the filter. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { before, test } from "node:test";

import { seccompProgram } from "./seccomp.ts";

const PYTHON = "/usr/bin/python3";
const PROBE = fileURLToPath(new URL("probe.py", import.meta.url));
const FILTER_FD = 3;
const missing = ["/usr/bin/bwrap", PYTHON].find((path) => !existsSync(path));
const skip = missing === undefined ? false : `${missing} is not installed`;

const JAIL = [
  ["--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"],
  ["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"],
  ["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
  ["--ro-bind", PROBE, "/probe.py", "--clearenv"],
].flat();

interface Ended {
  output: string;
  errors: string;
  code: number | null;
}

async function jailed(filter: Uint8Array | null, argv: readonly string[]): Promise<Ended> {
  const seccomp = filter === null ? [] : ["--seccomp", String(FILTER_FD)];
  const child = spawn("bwrap", [...JAIL, ...seccomp, "--", ...argv], {
    stdio: ["ignore", "pipe", "pipe", filter === null ? "ignore" : "pipe"],
  });
  const pipe = child.stdio[FILTER_FD];
  if (filter !== null && pipe !== null && pipe !== undefined && "end" in pipe) pipe.end(filter);
  assert.ok(child.stdout !== null && child.stderr !== null);
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { output, errors, code: await code };
}

async function probe(filter: Uint8Array | null): Promise<Map<string, string>> {
  const { output, errors, code } = await jailed(filter, [PYTHON, "/probe.py"]);
  assert.equal(code, 0, errors);
  return new Map(
    [...output.matchAll(/^(.+): (\w+)$/gm)].map(([, name = "", is = ""]) => [name, is]),
  );
}

const DENIED: Record<string, string> = {
  "unshare user": "EPERM",
  "unshare mount": "EPERM",
  "clone user": "EPERM",
  clone3: "ENOSYS",
  ptrace: "EPERM",
  process_vm_readv: "EPERM",
  keyctl: "EPERM",
  netlink: "EAFNOSUPPORT",
  io_uring: "ENOSYS",
  TIOCSTI: "EPERM",
  "chmod 4755": "EPERM",
  "create 4755": "EPERM",
  personality: "EPERM",
  "prctl seccomp": "EPERM",
  "prlimit other": "EPERM",
  "inotify open": "EINVAL",
  "urgent byte": "ENOTSUP",
};

let filtered: Map<string, string>;
let bare: Map<string, string>;

before(async () => {
  if (skip === false) [filtered, bare] = await Promise.all([probe(seccompProgram()), probe(null)]);
});

for (const [name, error] of Object.entries(DENIED)) {
  test(
    `under the filter ${name} answers ${error}, and without it something else`,
    { skip },
    (t) => {
      assert.equal(filtered.get(name), error);
      if (bare.get(name) === error) t.skip("this host refuses it by itself: no control");
    },
  );
}

test("under the filter a call that no kernel has answers ENOSYS", { skip }, () => {
  assert.equal(filtered.get("future call"), "ENOSYS");
});

test("under the filter everything else that the probe does works", { skip }, () => {
  const others = [...filtered].filter(([name]) => !(name in DENIED) && name !== "future call");
  assert.ok(others.length >= 12, `${others.length} probes`);
  for (const [name, answer] of others) assert.equal(answer, "ok", name);
});

const GETPID = 39;
const X32_GETPID = 0x4000_0000 + GETPID;
const SIGSYS_EXIT = 128 + 31;
const x64Only = skip === false && process.arch !== "x64" ? "x64 only" : skip;

test("under the filter an x32 call kills the process", { skip: x64Only }, async () => {
  const source = (number: number) =>
    `import ctypes; print(ctypes.CDLL(None).syscall(ctypes.c_long(${number})) > 0)`;
  const x32 = await jailed(seccompProgram(), [PYTHON, "-c", source(X32_GETPID)]);
  const x64 = await jailed(seccompProgram(), [PYTHON, "-c", source(GETPID)]);
  assert.equal(x32.code, SIGSYS_EXIT, x32.errors);
  assert.equal(x64.output, "True\n");
});

test("under the filter a 32-bit call kills the process", { skip: x64Only }, async (t) => {
  // mov $20, %eax; int $0x80; ret: getpid by the 32-bit entry.
  const source = [
    "import ctypes, mmap",
    "code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    'code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")',
    "start = ctypes.addressof(ctypes.c_char.from_buffer(code))",
    "print(ctypes.CFUNCTYPE(ctypes.c_int)(start)() > 0)",
  ].join("\n");
  const control = await jailed(null, [PYTHON, "-c", source]);
  if (control.output !== "True\n") return t.skip("this kernel has no 32-bit entry");
  const { code, errors } = await jailed(seccompProgram(), [PYTHON, "-c", source]);
  assert.equal(code, SIGSYS_EXIT, errors);
});
