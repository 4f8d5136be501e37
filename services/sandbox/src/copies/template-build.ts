// Builds a template in a sandbox like any other: files, packages and commands, one step after the other. What is then
// in `/work` and `/tmp` is the template.
//
// Packages go where interpreters look without being told: pip's below the home folder (`.local`, Python's user site),
// npm's into `/work/node_modules`, which every program below `/work` searches; their commands are in the PATH that the
// template's sandboxes get.
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  NetworkEvent_Type as Type,
  NetworkPolicy_Mode as NetworkMode,
} from "@syla/contract/syla/sandbox/v1/network";
import { ProcessSpecSchema } from "@syla/contract/syla/sandbox/v1/process";
import type { TemplateSpec } from "@syla/contract/syla/sandbox/v1/template";
import { CallContext } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { fileRefusal } from "../files/refusal.ts";
import { newFile } from "../files/rpc.ts";
import { DEFAULT_ENVIRONMENT } from "../jail/step.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";
import type { Sandbox } from "../sandbox.ts";
import type { TemplateLog } from "./template-log.ts";

interface Step {
  /** As the log tells it. */
  readonly text: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** Of the hosts that a step did not reach, how many an error names. */
const toldMax = 5;

/** What package managers would leave lying about goes where no copy is made of it. */
const buildEnvironment: Readonly<Record<string, string>> = {
  PIP_BREAK_SYSTEM_PACKAGES: "1", // not the system's: the user's own folder, which this distribution guards too
  PIP_CACHE_DIR: "/dev/shm/pip",
  PIP_DISABLE_PIP_VERSION_CHECK: "1",
  PIP_NO_INPUT: "1",
  npm_config_audit: "false",
  npm_config_cache: "/dev/shm/npm",
  npm_config_fund: "false",
  npm_config_update_notifier: "false",
};

/** Those in which nothing is reached. */
const modesOff: ReadonlySet<NetworkMode> = new Set([
  NetworkMode.MODE_UNSPECIFIED,
  NetworkMode.NONE,
]);

/** The variables of every process in a sandbox of this template. */
export function templateEnvironment({ packages, env }: TemplateSpec): Record<string, string> {
  const folders = [
    ...(packages !== undefined && packages.pip.length > 0 ? [`${WORK_DIRECTORY}/.local/bin`] : []),
    ...(packages !== undefined && packages.npm.length > 0
      ? [`${WORK_DIRECTORY}/node_modules/.bin`]
      : []),
  ];
  if (folders.length === 0) return { ...env };
  return { PATH: [...folders, DEFAULT_ENVIRONMENT["PATH"]].join(":"), ...env };
}

/** Does all that a declaration says; throws `template_failed` at the first step that fails. */
export async function buildTemplate(
  spec: TemplateSpec,
  sandbox: Sandbox,
  log: TemplateLog,
): Promise<void> {
  if (spec.files.length > 0) {
    log.step(spec.files.length === 1 ? "1 file" : `${spec.files.length} files`);
    await writeFiles(spec, sandbox);
  }
  for (const step of stepsOf(spec)) {
    log.step(step.text);
    await runStep(step, sandbox, log);
  }
}

async function writeFiles({ files }: TemplateSpec, sandbox: Sandbox): Promise<void> {
  try {
    await sandbox.box.write(files.map(newFile));
  } catch (error) {
    const refusal = fileRefusal(error);
    throw refusal instanceof SylaError ? failed(refusal.message) : refusal;
  }
}

function stepsOf({ packages, commands, files, network }: TemplateSpec): Step[] {
  const isOffline = network === undefined || modesOff.has(network.mode);
  const steps: Step[] = [];
  const named = (text: string, command: string, args: readonly string[]) =>
    steps.push({ text, command, args });
  if (packages !== undefined && packages.pip.length > 0) {
    // What is not a file by its path is found among the template's files; without a network, only there.
    const folders = new Set(
      files.map(({ path }) => posix.dirname(posix.resolve(WORK_DIRECTORY, path))),
    );
    const links = [...folders].flatMap((folder) => ["--find-links", folder]);
    const where = isOffline ? ["--no-index", ...links] : links;
    const args = ["install", "--user", ...where, ...packages.pip];
    named(`pip install ${packages.pip.join(" ")}`, "python3", ["-m", "pip", ...args]);
  }
  if (packages !== undefined && packages.npm.length > 0) {
    const args = ["install", ...(isOffline ? ["--offline"] : []), ...packages.npm.map(npmName)];
    named(`npm install ${packages.npm.join(" ")}`, "npm", args);
  }
  for (const command of commands) named(command, "sh", ["-c", command]);
  return steps;
}

/** A path without a dot at its beginning is the name of a repository to npm. */
function npmName(name: string): string {
  return /^[^@./][^@]*\.(tgz|tar\.gz|tar)$/.test(name) ? `./${name}` : name;
}

async function runStep(
  { text, command, args }: Step,
  sandbox: Sandbox,
  log: TemplateLog,
): Promise<void> {
  const spec = create(ProcessSpecSchema, {
    ...{ command, args: [...args], directory: WORK_DIRECTORY, env: { ...buildEnvironment } },
  });
  const before = sandbox.network.events(0).events.at(-1)?.number ?? 0;
  const process = await sandbox.start(spec);
  for await (const { event } of process.watch(0, new CallContext())) {
    if (event.case !== "stdout" && event.case !== "stderr") continue;
    log.output(bytesOf(event.value));
  }
  const { exitCode, signal } = process.message;
  if (exitCode === 0) return;
  const how = signal === undefined ? `code ${exitCode}` : signal;
  const said = `The step "${text.slice(0, 200)}" ended with ${how}.`;
  throw failed([said, ...notReached(sandbox, before)].join(" "));
}

/** What a step asked for in vain: package managers say that something is forbidden, and not what or why. */
function notReached(sandbox: Sandbox, after: number): string[] {
  const failures = sandbox.network
    .events(after)
    .events.filter(({ type }) => type === Type.REFUSED || type === Type.FAILED);
  const texts = failures.map(({ host, port, reason }) => `${host}:${port} (${reason})`);
  const distinct = [...new Set(texts)];
  if (distinct.length === 0) return [];
  const more = distinct.length > toldMax ? ` and ${distinct.length - toldMax} more` : "";
  return [`It did not reach ${distinct.slice(0, toldMax).join(", ")}${more}.`];
}

function failed(message: string): SylaError {
  return new SylaError("template_failed", message);
}
