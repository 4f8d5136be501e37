// What was typed at an interpreter's prompt, kept from one visit to the next: one file for each language, which only
// its owner reads.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** How many lines are kept. */
export const historyLinesMax = 1000;

/** The lines that were typed before, the newest first; none when there is no such file. */
export async function readHistory(language: string): Promise<string[]> {
  const text = await readFile(historyPath(language), "utf8").catch(() => "");
  return text.split("\n").filter(Boolean).slice(-historyLinesMax).toReversed();
}

/** Keeps them. That it cannot be done, as in a home that is read-only, is no reason to disturb anybody. */
export async function writeHistory(language: string, lines: readonly string[]): Promise<void> {
  const path = historyPath(language);
  const kept = lines.slice(0, historyLinesMax).toReversed();
  const fresh = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(fresh, kept.map((line) => `${line}\n`).join(""), { mode: 0o600 });
    await rename(fresh, path);
  } catch {
    // See above.
  }
}

function historyPath(language: string): string {
  const state = process.env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  return join(state, "syla", `history-${language.replaceAll(/[^A-Za-z0-9+#-]/g, "_")}`);
}
