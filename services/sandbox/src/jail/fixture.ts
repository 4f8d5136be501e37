/** What the tests of jails share: one agent and root for a test file, and a run in one call. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildAgent } from "./agent-build.ts";
import {
  type CgroupLimits,
  type CgroupOptions,
  type Cgroups,
  openCgroups,
} from "../cgroup/cgroup.ts";
import { type Jail, openJail } from "./jail.ts";
import { type Spawner, openSpawner } from "./spawner.ts";
import type { Step, StepEnd } from "./step.ts";
import type { JailFile } from "./frames.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { prepareRoot } from "./root.ts";
import { seccompFilter } from "../seccomp/seccomp.ts";
import { openZygote, type TreeDisk } from "./zygote.ts";

export const MIB = 1024 * 1024;

export interface RunOptions extends Partial<Omit<Step, "limits" | "onOutput">> {
  readonly limits?: Partial<Step["limits"]>;
  readonly cgroup?: Partial<CgroupLimits>;
  readonly diskBytes?: number;
  readonly diskInodes?: number;
  readonly files?: readonly JailFile[];
  /** Only where `forks`. */
  readonly tree?: TreeDisk;
}

export interface RunResult {
  readonly outcome: Outcome;
  readonly end: StepEnd;
  readonly stdout: string;
  readonly stderr: string;
}

export interface JailFixture {
  readonly agentPath: string;
  readonly cgroups: Cgroups;
  readonly spawner: Spawner;
  /** Whether its jails are forked, and can be handed a disk. */
  readonly forks: boolean;
  readonly open: (options?: RunOptions) => Jail;
  /** One program in a jail of its own. */
  readonly run: (argv: readonly string[], options?: RunOptions) => Promise<RunResult>;
  readonly python: (code: string, options?: RunOptions) => Promise<RunResult>;
  readonly close: () => Promise<void>;
}

export const runIn = async (
  jail: Jail,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> => {
  const output: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  const { limits, ...rest } = options;
  const end = await jail.exec({
    ...rest,
    argv,
    limits: { wallMs: 10_000, stdoutBytes: MIB, stderrBytes: MIB, ...limits },
    onOutput: (stream, data) => void output[stream].push(data),
  });
  const [stdout, stderr] = [Buffer.concat(output.stdout), Buffer.concat(output.stderr)];
  return {
    end,
    outcome: outcomeOf(end),
    stdout: stdout.toString("utf8"),
    stderr: stderr.toString("utf8"),
  };
};

export const openFixture = async (options: CgroupOptions = {}): Promise<JailFixture> => {
  const directory = mkdtempSync(join(tmpdir(), "jail-test-"));
  const agent = await buildAgent({
    directory: join(tmpdir(), `syla-agent-test-${process.getuid?.()}`),
  });
  const root = prepareRoot({ directory: join(directory, "root"), agentPath: agent.path });
  const cgroups = await openCgroups(options);
  const spawner = await openSpawner({ agentPath: agent.path });
  const filter = seccompFilter();
  // "fresh": each opened by bubblewrap; else forked, as what waits in a pool is. Without root there are no zygotes.
  const zygote =
    root.zygotes && process.env["SYLA_TEST_SLOTS"] !== "fresh"
      ? openZygote({ root, spawner, filter, binds: [] })
      : undefined;
  await zygote?.ready;
  const open = (wanted: RunOptions = {}): Jail => {
    const limits = { memoryBytes: 256 * MIB, pids: 64, ...wanted.cgroup };
    const { diskBytes = 16 * MIB, diskInodes = 1000, tree } = wanted;
    const slot = cgroups.acquire(limits);
    slot.begin(limits);
    const jail = openJail({ root, spawner, slot, filter, zygote, tree, diskBytes, diskInodes });
    for (const file of wanted.files ?? []) jail.writeFile(file);
    return jail;
  };
  const run = async (argv: readonly string[], wanted?: RunOptions): Promise<RunResult> => {
    const jail = open(wanted);
    try {
      return await runIn(jail, argv, wanted);
    } finally {
      await jail.close();
    }
  };
  return {
    agentPath: agent.path,
    cgroups,
    spawner,
    forks: zygote !== undefined,
    open,
    run,
    python: (code, wanted) => run(["/usr/bin/python3", "-c", code], wanted),
    close: async () => {
      await zygote?.close();
      await spawner.close();
      await cgroups.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
};
