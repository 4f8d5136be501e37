// Folders as archives, by the system's own `tar`: it knows what its files are, and unpacks nothing outside of the
// folder it is given, whatever an archive says.
import { type ChildProcess, spawn } from "node:child_process";
import { platformFailure } from "./failure.ts";
import { printable } from "./render.ts";

// What belongs to whom is another system's matter, and so is which rights a file may give.
const unpackFlags = ["--no-same-owner", "--no-same-permissions"];
const saidCharsMax = 500;

/** The archive of what is in a folder. */
export async function* packFolder(folder: string): AsyncGenerator<Uint8Array> {
  // Without it, macOS adds files of its own.
  const env = { ...process.env, COPYFILE_DISABLE: "1" };
  const tar = spawn("tar", ["-c", "-f", "-", "-C", folder, "."], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
  });
  const over = outcome(tar, `read '${printable(folder)}'`);
  try {
    const pieces: AsyncIterable<Buffer> = tar.stdout;
    yield* pieces;
    await over;
  } finally {
    over.catch(() => {});
    tar.kill();
  }
}

/** Unpacks an archive in a folder that is there. */
export async function unpackInto(
  folder: string,
  archive: AsyncIterable<Uint8Array>,
): Promise<void> {
  const tar = spawn("tar", ["-x", "-f", "-", "-C", folder, ...unpackFlags], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  const over = outcome(tar, `write to '${printable(folder)}'`);
  // It says itself why it takes no more.
  tar.stdin.on("error", () => {});
  try {
    for await (const piece of archive) {
      if (tar.stdin.write(piece)) continue;
      const drained = new Promise<void>((resolve) => tar.stdin.once("drain", resolve));
      await Promise.race([drained, over]);
    }
    tar.stdin.end();
    await over;
  } finally {
    over.catch(() => {});
    tar.kill();
  }
}

/** Resolves when it has ended well. */
async function outcome(tar: ChildProcess, doing: string): Promise<void> {
  let said = "";
  tar.stderr?.setEncoding("utf8").on("data", (text: string) => {
    if (said.length < saidCharsMax) said += text;
  });
  const [code, signal] = await new Promise<readonly [number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      tar.on("error", () =>
        reject(platformFailure("Cannot copy a folder: there is no 'tar' here.")),
      );
      tar.on("close", (exitCode, name) => resolve([exitCode, name]));
    },
  );
  if (code === 0) return;
  const why = printable(said.trim()).slice(0, saidCharsMax) || `tar ended with ${signal ?? code}`;
  throw platformFailure(`Cannot ${doing}: ${why}.`);
}
