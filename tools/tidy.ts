// The repository's hygiene, checked like a test: everything STYLE.md says that a program can see and that the compiler,
// the linter and dependency-cruiser do not. Exceptions, with their reasons, are in tidy-rules.ts and nowhere else.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { listFiles, root } from "./repository.ts";
import { checkCode } from "./tidy-code.ts";
import { checkDocs, type DocumentedThings } from "./tidy-docs.ts";
import { type Finding, type SourceFile, withoutExceptions } from "./tidy-rules.ts";
import { checkText, isVendored } from "./tidy-text.ts";

const binaryName = /\.(?:png|jpe?g|gif|ico|woff2?|gz|zip|binpb|pdf)$/;

function parseScripts(text: string): readonly string[] {
  const { scripts } = JSON.parse(text) as { scripts: Readonly<Record<string, string>> };
  return Object.keys(scripts);
}

/** The CLI's commands are the keys of its table of commands, each written `name: {` or as a file of its own. */
function findCommands(files: readonly SourceFile[]): readonly string[] {
  return files
    .filter(({ path }) => path.startsWith("cli/src/") && !path.endsWith(".test.ts"))
    .flatMap(({ path, text }) => {
      const own = /^cli\/src\/(?:[\w-]+\/)?([\w-]+)\.ts$/.exec(path)?.[1];
      const table = [...text.matchAll(/^\s*(?:case )?"?([\w-]+)"?[:,]/gm)].map(
        ([, name = ""]) => name,
      );
      return own === undefined ? table : [own, ...table];
    });
}

function main(): void {
  const files = listFiles(root)
    .filter((path) => !binaryName.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
  const things: DocumentedThings = {
    root,
    scripts: parseScripts(readFileSync(join(root, "package.json"), "utf8")),
    commands: findCommands(files),
    files: files.map(({ path }) => path),
  };
  const findings = files.flatMap((file): readonly Finding[] => {
    const found = [...checkText(file)];
    if (file.path.endsWith(".ts") && !isVendored(file.path) && !file.path.startsWith("examples/")) {
      found.push(...checkCode(file));
    }
    if (file.path.endsWith(".md")) found.push(...checkDocs(file, things));
    return found;
  });
  const kept = withoutExceptions(findings);
  for (const { path, line, rule, message } of kept) {
    console.log(`${path}:${line}: ${message} [${rule}]`);
  }
  console.log(`${files.length} files, ${kept.length} findings`);
  if (kept.length > 0) process.exitCode = 1;
}

main();
