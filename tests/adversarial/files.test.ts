// Files on their way in and out: names that point elsewhere, and things that are not files where one is wanted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { type Artifact, execute, pointers, post, python, refusal, type SpecFile } from "../api.ts";
import {
  assertFailed,
  assertRefused,
  assertSucceeded,
  probe,
  unharmedPlatform,
} from "./unharmed.ts";

const platform = unharmedPlatform();

async function refusedPointers(more: object): Promise<string[]> {
  const spec = { language: "bash", ...more };
  const response = await post(platform(), "/api/v1/executions:execute", spec);
  return pointers(await refusal(response, 400, "invalid_request"));
}

const namesOutside = [
  ["one folder up", "../x"],
  ["up from within", "a/../../x"],
  ["absolute", "/etc/passwd"],
  ["a folder's own name", "."],
  ["its parent", ".."],
  ["an empty part", "a//b"],
  ["a dot part", "a/./b"],
  ["a slash at the end", "a/"],
  ["no name", ""],
  ["a NUL", "a\0b"],
  ["5,000 characters", "x".repeat(5000)],
] as const;

for (const [what, name] of namesOutside) {
  test(`a file named by ${what} is refused, and told by its pointer`, async () => {
    const main = { name: "main.sh", content: "echo ran" };
    const found = await refusedPointers({ files: [main, { name, content: "x" }] });
    assert.ok(found.includes("/files/1/name"), found.join());
  });
}

for (const name of ["../x", "/etc/passwd", "a/../../x", "a\0b", "", "x".repeat(5000)]) {
  test(`an artifact ${JSON.stringify(name.slice(0, 20))} is refused, and told by its pointer`, async () => {
    const found = await refusedPointers({ code: "echo", artifacts: ["fine", name] });
    assert.deepEqual(found, ["/artifacts/1"]);
  });
}

test("odd but honest names are files like others", async () => {
  const names = ["-rf", "a b", "ünï", "..data", "a\nb", "$(reboot)", "x".repeat(255), "d/e/f/g"];
  const files = names.map((name) => ({ name, content: `in ${name}` }));
  const main = {
    name: "main.py",
    content: "import sys\nfor n in sys.argv[1:]: print(open(n).read())",
  };
  const execution = await execute(platform(), {
    ...{ language: "python", files: [main, ...files], args: names, artifacts: names },
  });
  assert.equal(assertSucceeded(execution), names.map((name) => `in ${name}\n`).join(""));
  assert.deepEqual(
    execution.artifacts.map(({ name }) => name),
    names,
  );
  assert.deepEqual(
    execution.artifacts.map(textOf),
    names.map((name) => `in ${name}`),
  );
});

const clashes: Readonly<Record<string, readonly SpecFile[]>> = {
  "two files of one name": [
    { name: "twice", content: "1" },
    { name: "twice", content: "2" },
  ],
  "a file where a folder is": [
    { name: "a/b", content: "1" },
    { name: "a", content: "2" },
  ],
  "a folder where a file is": [
    { name: "a", content: "1" },
    { name: "a/b", content: "2" },
  ],
  "a part of 256 bytes": [{ name: "x".repeat(256), content: "1" }],
};

for (const [what, files] of Object.entries(clashes)) {
  test(`${what} among the files is refused, and told by its pointer`, async () => {
    const main = { name: "main.sh", content: "echo ran" };
    assert.deepEqual(await refusedPointers({ files: [main, ...files] }), [
      `/files/${files.length}/name`,
    ]);
  });
}

function textOf(artifact: Artifact | undefined): string {
  return Buffer.from(artifact?.contentBase64 ?? "", "base64").toString();
}

test("what is no regular file where an artifact is wanted does not come back", async () => {
  const code = `
import os, socket
os.symlink("/etc/passwd", "link"); os.symlink("real", "inner"); os.symlink("/proc/self/environ", "magic")
os.symlink(".", "loop"); os.mkfifo("fifo"); os.mkdir("folder"); open("real", "w").write("real")
os.symlink("folder", "through"); open("folder/in", "w").write("in"); os.link("real", "hard")
socket.socket(socket.AF_UNIX).bind("socket")
open("secret", "w").write("s"); os.chmod("secret", 0)`;
  const names = ["link", "inner", "magic", "fifo", "folder", "through/in", "socket", "absent"];
  const controls = ["real", "folder/in", "hard"];
  const execution = await python(platform(), code, { artifacts: [...names, ...controls] });
  assertSucceeded(execution);
  const errors = execution.artifacts.slice(0, names.length);
  for (const { name, contentBase64, error } of errors) {
    assert.equal(contentBase64, "", `${name} came back`);
    const absent = name === "absent" || name === "through/in";
    const expected = absent ? /^not_found$/ : /^(not_a_file|unreadable)$/;
    assert.match(error ?? "none", expected, name);
  }
  assert.deepEqual(execution.artifacts.slice(names.length).map(textOf), ["real", "in", "real"]);
});

test("as many artifacts as may be asked for, of names as long as may be, all come or say why", async () => {
  const names = Array.from({ length: 64 }, (_, n) =>
    `${String(n).padStart(2, "0")}${"ü/".repeat(511)}`.slice(0, 1023),
  );
  const code =
    "import os; os.makedirs(os.path.dirname(NAME), exist_ok=True); open(NAME, 'w').write('deep')";
  const execution = await python(platform(), code.replaceAll("NAME", JSON.stringify(names[63])), {
    artifacts: names,
  });
  assertSucceeded(execution);
  assert.deepEqual(
    execution.artifacts.map(({ name }) => name),
    names,
  );
  assert.deepEqual(
    execution.artifacts.slice(0, 63).map(({ error }) => error),
    names.slice(1).map(() => "not_found"),
  );
  assert.equal(textOf(execution.artifacts[63]), "deep");
});

test("sparse files cannot be used to fill the platform with their zeros", async () => {
  const names = Array.from({ length: 64 }, (_, n) => `sparse${n}`);
  const code =
    "import os\nfor n in range(64): os.truncate(os.open(f'sparse{n}', os.O_CREAT | os.O_RDWR), 1 << 30)";
  const execution = await python(platform(), code, { artifacts: names });
  assertSucceeded(execution);
  assert.ok(execution.artifacts.every(({ truncated }) => truncated));
  const bytes = execution.artifacts.map(({ contentBase64 }) =>
    Buffer.byteLength(contentBase64, "base64"),
  );
  const mebibytes = bytes.reduce((sum, size) => sum + size, 0) / 1024 ** 2;
  assert.ok(mebibytes >= 8 && mebibytes <= 64, `${mebibytes} MiB came back`);
});

test("an artifact that still grows, is swapped or is huge comes as far as it may, and the run ends", async () => {
  const code = `
import os
with open("huge", "wb") as file:
  for _ in range(20): file.write(b"x" * (1 << 20))
os.truncate(os.open("sparse", os.O_CREAT | os.O_RDWR), 1 << 34)
if os.fork() == 0:
  while True:
    try:
      open("growing", "ab").write(b"y" * 4096)
      os.rename("growing", "other"); os.rename("other", "growing")
    except OSError: pass
while not os.path.exists("growing"): pass`;
  const execution = await python(platform(), code, { artifacts: ["huge", "growing", "sparse"] });
  assertSucceeded(execution);
  const [huge, growing, sparse] = execution.artifacts;
  assert.equal(huge?.truncated, true);
  assert.equal(huge.sizeBytes, 20 * 1024 * 1024);
  assert.equal(Buffer.from(huge.contentBase64, "base64").byteLength, 8 * 1024 * 1024);
  assert.ok(growing?.error === "not_found" || textOf(growing).startsWith("y"));
  assert.equal(sparse?.truncated, true);
});

test("a program cannot be replaced between its compilation and its run from outside the jail", async () => {
  const code = '#include <stdio.h>\nint main(void) { puts("mine"); }';
  const runs = await Promise.all(
    ["one", "two"].map((word) =>
      execute(platform(), { language: "c", code: code.replace("mine", word) }),
    ),
  );
  assert.deepEqual(runs.map(assertSucceeded), ["one\n", "two\n"]);
});

test("a set-id bit cannot be put on a file by any call, and an ordinary mode can", async () => {
  const outcomes = await probe(
    platform(),
    `
import shutil
shutil.copy("/bin/sh", "sh")
attempt("chmod", lambda: os.chmod("sh", 0o4755))
attempt("chmod gid", lambda: os.chmod("sh", 0o2755))
attempt("fchmod", lambda: os.fchmod(os.open("sh", os.O_RDONLY), 0o6755))
attempt("open", lambda: os.close(os.open("n", os.O_CREAT | os.O_WRONLY, 0o4755)))
attempt("mkdir", lambda: os.mkdir("d", 0o2755))
attempt("mknod", lambda: os.mknod("c", 0o020666, os.makedev(1, 1)))
attempt("block", lambda: os.mknod("b", 0o060666, os.makedev(8, 0)))
attempt("set capability", lambda: os.setxattr("sh", "security.capability", bytes(20)))
attempt("plain", lambda: os.chmod("sh", 0o755))
attempt("mode", lambda: oct(os.stat("sh").st_mode))`,
  );
  const refused = ["chmod", "chmod gid", "fchmod", "mknod", "block", "set capability"];
  assertRefused(outcomes, refused, ["EPERM", "ENOTSUP"]);
  assert.equal(outcomes["plain"], "done");
  assert.equal(outcomes["mode"], "0o100755");
  const script =
    "import os\nfor n in ('n', 'd'):\n  if os.path.exists(n): print(oct(os.stat(n).st_mode))";
  assert.doesNotMatch(assertSucceeded(await python(platform(), script)), /[246]\d{3}$/m);
});

test("set-id programs of the system give no powers", async () => {
  const code = "su -c id root </dev/null; mount -t tmpfs none /tmp; passwd -d root; id -u";
  const { stdout } = await execute(platform(), { language: "bash", code });
  assert.equal(stdout, "1000\n");
});

test("start-up files of an interpreter affect their own run alone", async () => {
  const poison = "import builtins; builtins.print('poisoned')";
  const names = ["sitecustomize.py", "usercustomize.py", "json.py", "os.py"];
  const files = names.map((name) => ({ name, content: poison }));
  const main = { name: "main.py", content: "print('mine')" };
  const env = { PYTHONPATH: "/work", PYTHONSTARTUP: "/work/os.py", LD_PRELOAD: "/work/x.so" };
  const poisoned = await execute(platform(), { language: "python", files: [main, ...files], env });
  assert.match(poisoned.stdout, /mine\n$/);
  const user =
    "mkdir -p ~/.local/lib/python3.11/site-packages; echo 'echo p' >~/.bashrc; echo p >~/.profile";
  assertSucceeded(await execute(platform(), { language: "bash", code: user }));
  assert.equal(assertSucceeded(await python(platform(), "print('clean')")), "clean\n");
  assert.equal(
    assertSucceeded(await execute(platform(), { language: "bash", code: "echo c" })),
    "c\n",
  );
});

test("environment variables that steer a loader steer the program and no part of the platform", async () => {
  const env = {
    LD_PRELOAD: "/work/evil.so",
    BASH_ENV: "/work/evil.sh",
    NODE_OPTIONS: "--inspect",
    IFS: "x",
  };
  const files = [
    { name: "main.sh", content: "echo $LD_PRELOAD" },
    { name: "evil.sh", content: "echo evil" },
  ];
  const execution = await execute(platform(), { language: "bash", files, env });
  assert.match(execution.stdout, /^(evil\n)?\/work\/evil\.so\n$/);
});

test("a missing main file, an unknown entry and a broken program fail as what they are", async () => {
  assertFailed(await execute(platform(), { language: "c", code: "int main( {" }), "compile");
  const other = { name: "other.py", content: "import nowhere" };
  assertFailed(await execute(platform(), { language: "python", files: [other] }), "exit_code");
  assert.equal(existsSync("/work/main.py"), false);
  assert.equal(execFileSync("hostname").toString().includes("sandbox"), false);
});
