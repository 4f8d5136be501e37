// Makes everything that is made from something else: of the contract its format, the generated code and the comments,
// and the references of settings and errors from their declarations. It is made aside first; then either the
// differences are written or, with --check, they are an error.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { collectComments, parseImage } from "./comments.ts";
import { listFiles, root, runTool } from "./repository.ts";
import { printValidateProto } from "./validate-proto.ts";

const contract = join(root, "contract");

// Whose comments are documentation that Syla serves; the other packages are Google's and Buf's.
const documentedPackages = ["syla", "grpc.health"];

async function buf(scratch: string, ...args: string[]): Promise<Buffer> {
  const { code, output, stdout } = await runTool("buf", args, { cwd: scratch });
  if (code !== 0) throw new Error(`buf ${args.join(" ")} failed:\n${output}`);
  return stdout;
}

async function generateInto(scratch: string): Promise<void> {
  for (const name of ["buf.yaml", "buf.gen.yaml", "proto"]) {
    cpSync(join(contract, name), join(scratch, name), { recursive: true });
  }
  writeFileSync(join(scratch, "proto/buf/validate/validate.proto"), printValidateProto());
  await buf(scratch, "format", "--write");
  await buf(scratch, "lint");
  await buf(scratch, "generate");
  const image = parseImage(await buf(scratch, "build", "--output", "-#format=binpb"));
  const comments = collectComments(image, documentedPackages);
  writeFileSync(join(scratch, "gen/comments.json"), `${JSON.stringify(comments, undefined, 2)}\n`);
}

interface Difference {
  readonly path: string;
  readonly kind: "differs" | "is missing" | "is left over";
}

function findDifferences(scratch: string): readonly Difference[] {
  return ["proto", "gen"].flatMap((folder) => {
    const made = listFiles(join(scratch, folder)).map((name) => `${folder}/${name}`);
    const there = existsSync(join(contract, folder)) ? listFiles(join(contract, folder)) : [];
    const kept = there.map((name) => `${folder}/${name}`);
    const changes = made.flatMap((path): Difference[] => {
      if (!kept.includes(path)) return [{ path, kind: "is missing" }];
      const same = readFileSync(join(scratch, path)).equals(readFileSync(join(contract, path)));
      return same ? [] : [{ path, kind: "differs" }];
    });
    const leftOver = kept.filter((path) => !made.includes(path));
    return [...changes, ...leftOver.map((path): Difference => ({ path, kind: "is left over" }))];
  });
}

function apply(scratch: string, { path, kind }: Difference): void {
  const target = join(contract, path);
  if (kind === "is left over") return rmSync(target);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(join(scratch, path), target);
}

/** Brings the contract up to date, or only looks; answers how many files differed. */
async function generateContract(scratch: string, checkOnly: boolean): Promise<number> {
  await generateInto(scratch);
  const differences = findDifferences(scratch);
  for (const difference of differences) {
    console.log(`contract/${difference.path} ${difference.kind}`);
    if (!checkOnly) apply(scratch, difference);
  }
  return differences.length;
}

/** The same for the references. The services stand on the contract's code, so they are loaded when that is made. */
async function generateReferences(checkOnly: boolean): Promise<number> {
  const { renderErrors } = await import("@syla/kit/error-reference");
  const { renderSettings } = await import("@syla/kit/settings-reference");
  const { settings } = await import("../services/platform/src/configuration.ts");
  const pages = { errors: renderErrors(), settings: renderSettings(settings) };
  let differences = 0;
  for (const [name, text] of Object.entries(pages)) {
    const path = join(root, "docs/reference", `${name}.md`);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    console.log(`docs/reference/${name}.md differs`);
    differences += 1;
    if (!checkOnly) writeFileSync(path, text);
  }
  return differences;
}

async function main(checkOnly: boolean): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "syla-generate-"));
  try {
    const differences =
      (await generateContract(scratch, checkOnly)) + (await generateReferences(checkOnly));
    if (checkOnly && differences > 0) {
      console.log("What is made and what it is made from differ. Run: npm run generate");
      process.exitCode = 1;
    }
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

await main(process.argv.includes("--check"));
