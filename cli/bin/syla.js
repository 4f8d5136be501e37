#!/usr/bin/env node
// Runs the CLI on a Node that can read TypeScript. Plain JavaScript, because the oldest Node that finds this file has
// to understand it: one that is too old hands over to the Node that was installed beside the CLI.
import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import module from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const home = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));
const main = join(home, "src", "main.ts");
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major > 23 || (major === 22 && minor >= 18)) {
  // Compiled and stripped modules are kept beside the installation, with the trust of the code they are made from.
  // That is done here because it spares loading the stripper itself: `--version` takes 45 ms
  // of processor time without, 15 with.
  module.enableCompileCache?.(join(home, "..", "node_modules", ".cache", "syla"));
  await import(pathToFileURL(main).href);
} else {
  const node = join(home, "..", "node_modules", ".bin", "node");
  if (!existsSync(node)) {
    const wish = "install Node 24, or run 'npm ci' in Syla's folder";
    console.error(`syla: Node ${process.versions.node} is too old (22.18 or newer): ${wish}.`);
    process.exit(125);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // Ctrl-C reaches the other Node by the terminal itself; a second one would mean "at once" to it.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (status, signal) => process.exit(status ?? 128 + constants.signals[signal]));
}
