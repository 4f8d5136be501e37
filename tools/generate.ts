// Makes everything that is made from the contract: its format, the generated code, the comments. It is made in a
// scratch copy first; then either the differences are copied back or, with --check, they are an error.
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

async function main(checkOnly: boolean): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "syla-generate-"));
  try {
    await generateInto(scratch);
    const differences = findDifferences(scratch);
    for (const difference of differences) {
      console.log(`contract/${difference.path} ${difference.kind}`);
      if (!checkOnly) apply(scratch, difference);
    }
    if (checkOnly && differences.length > 0) {
      console.log("The contract and what is made from it differ. Run: npm run generate");
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
