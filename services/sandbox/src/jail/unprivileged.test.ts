/** The jail of a platform that is not root: another way to the same walls. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";
import { isPrivileged, prepareRoot } from "./root.ts";

/** The repository. */
const here = join(import.meta.dirname, "../../../..");
const SCRIPT = `
id -u; grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t\\n' '  '; echo
ls /proc/1/fd 2>&1 | tail -1
(echo 9 > /proc/1/oom_score_adj) 2>/dev/null && echo written
cat /proc/net/dev | grep -c :
for d in / /usr /dev /proc/sys/kernel /work /tmp /dev/shm; do touch $d/probe 2>/dev/null && echo $d; done
ulimit -v; grep -c . /proc/kallsyms; : < /dev/urandom && echo random`;

it("a platform that is not root gives a program the same walls, limited by rlimits", async () => {
  const { stdout } = await asNobody(SCRIPT);
  const identity =
    "1000\nCapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 \n";
  const places = "/work\n/tmp\n/dev/shm";
  const refused = /Permission denied\n1\n/;
  assert.ok(stdout.startsWith(identity), stdout);
  assert.match(stdout, refused);
  assert.ok(stdout.endsWith(`${places}\n262144\n0\nrandom\n`), stdout);
});

it("prepareRoot() refuses to run programs as host uid 0", { skip: !isPrivileged() }, () => {
  const options = { directory: join(tmpdir(), "never"), agentPath: "/bin/true" };
  assert.throws(() => prepareRoot({ ...options, privileged: false }), /host uid 0/);
});

/** In a Node process of its own: of nobody's when we are root, else of ours. */
const asNobody = async (script: string): Promise<{ stdout: string }> => {
  if (process.getuid?.() !== 0) return run(process.execPath, program(here, script));
  // Others may not be let into the folder that the repository is in, such as root's home: it is mounted elsewhere.
  const place = mkdtempSync(join(tmpdir(), "syla-unprivileged-test-"));
  try {
    chmodSync(place, 0o755);
    const enter = `mount --bind "$0" "$1"; shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`;
    const node = process.execPath.startsWith(here)
      ? join(place, relative(here, process.execPath))
      : process.execPath;
    const command = ["sh", "-ec", enter, here, place, node, ...program(place, script)];
    return await run("unshare", ["--mount", ...command]);
  } finally {
    rmdirSync(place);
  }
};

const run = (command: string, args: readonly string[]): Promise<{ stdout: string }> =>
  promisify(execFile)(command, args, { cwd: "/" });

const program = (repository: string, script: string): string[] => {
  const fixture = join(repository, relative(here, join(import.meta.dirname, "fixture.ts")));
  const code = `
    const { openFixture } = await import(${JSON.stringify(fixture)});
    const jails = await openFixture({ limits: "rlimit" });
    const result = await jails.run(["/bin/sh", "-c", ${JSON.stringify(script)}]);
    process.stdout.write(result.stdout + result.stderr + (result.end.detail ?? ""));
    await jails.close();`;
  return ["--input-type=module", "-e", code];
};
