// Packages that templates install.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A package for pip, with a command; the folder is for its parts. */
export function wheel(folder: string): Buffer {
  const about = "tiny-1.0.dist-info";
  const files = {
    "tiny.py": "answer = 42\ndef main(): print('tiny says', answer)\n",
    [`${about}/METADATA`]: "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    [`${about}/WHEEL`]: "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    [`${about}/entry_points.txt`]: "[console_scripts]\ntiny = tiny:main\n",
    [`${about}/RECORD`]: "",
  };
  const code = `import json, sys, zipfile
with zipfile.ZipFile("tiny.whl", "w") as wheel:
  for name, text in json.loads(sys.argv[1]).items(): wheel.writestr(name, text)`;
  execFileSync("python3", ["-c", code, JSON.stringify(files)], { cwd: folder });
  return readFileSync(join(folder, "tiny.whl"));
}

/** A package for npm; the folder is for its parts. */
export function tarball(folder: string): Buffer {
  mkdirSync(join(folder, "package"));
  const about = { name: "small", version: "1.0.0", main: "index.js" };
  writeFileSync(join(folder, "package/package.json"), JSON.stringify(about));
  writeFileSync(join(folder, "package/index.js"), "module.exports = 'small';\n");
  execFileSync("tar", ["-czf", "small.tgz", "package"], { cwd: folder });
  return readFileSync(join(folder, "small.tgz"));
}
