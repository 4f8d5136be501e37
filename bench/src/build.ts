// C programs that the benchmark needs, built when they are first asked for into a folder that goes with the process.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const compiler = process.env["CC"] ?? "cc";
const built = new Map<string, string>();
let folder: string | undefined;

function buildFolder(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "syla-bench-build-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return folder;
}

/** The path of the binary that the text of a program makes. */
export function buildC(name: string, text: string): string {
  const known = built.get(name);
  if (known !== undefined) return known;
  const binary = join(buildFolder(), name);
  writeFileSync(`${binary}.c`, text);
  execFileSync(compiler, ["-O2", "-o", binary, `${binary}.c`]);
  built.set(name, binary);
  return binary;
}
