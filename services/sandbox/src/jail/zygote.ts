/**
 * A process that forks jails instead of bubblewrap opening each (see ../agent/zygote.c): the same
 * walls at a third of the cost, and with an interpreter in it one that is started already.
 */
import type { SeccompFilter } from "../seccomp/seccomp.ts";
import type { SpawnedProcess, Spawner } from "./spawner.ts";
import { createFrameParser, setupFrame } from "./frames.ts";
import { type JailRoot, TREE_UID, UID_BASE, type ZygoteProgram } from "./root.ts";
import type { Bind } from "../languages/language.ts";

export interface ZygoteOptions {
  readonly root: JailRoot;
  readonly spawner: Spawner;
  /** Of the jails; the zygote has the first layer of it. */
  readonly filter: SeccompFilter;
  readonly binds: readonly Bind[];
  /** Its control group, for the spawner. */
  readonly launchArguments?: readonly string[] | undefined;
  readonly program?: ZygoteProgram | undefined;
  /** What it has to say, such as a module that could not be loaded. */
  readonly onNote?: ((stage: string, message: string) => void) | undefined;
}

export interface ForkRequest {
  readonly uid: number;
  readonly diskBytes: number;
  readonly diskInodes: number;
  readonly tree?: TreeDisk | undefined;
}

/** A folder of the host with `work` and `tmp`, which belong to TREE_UID (../agent/layers.c). */
export interface TreeDisk {
  readonly path: string;
  /** "begin": the jail's files are those, until it writes to them. "make": they are the tree's, which is being made. */
  readonly use: "begin" | "make";
}

const UID_COUNT = 65_536;
/** Of these uids, above those of slots, each zygote has one that is charged for what all its jails use together. */
const OWNERS_FROM = 8_192;
/** A large package takes seconds to load on a host under load. */
const READY_MS_MAX = 60_000;

/** Starts one; returns at once. Jails can be asked of it when `ready` has resolved. */
export const openZygote = (options: ZygoteOptions): Zygote => new Zygote(options);

export class Zygote {
  static #made = 0;
  readonly ready: Promise<void>;
  /** Whether what it forks can run programs by its interpreter. */
  readonly interprets: boolean;
  readonly #spawner: Spawner;
  readonly #process: SpawnedProcess;
  #alive = true;
  #jails = 0;
  #heardMs = 0;
  #onEmpty: (() => void) | undefined;

  constructor(options: ZygoteOptions) {
    const { root, spawner, filter, binds, program, onNote } = options;
    this.#spawner = spawner;
    this.interprets = program !== undefined;
    const owner = UID_BASE + OWNERS_FROM + (Zygote.#made++ % (UID_COUNT - OWNERS_FROM));
    const uids = { uidBase: UID_BASE, uidCount: UID_COUNT, owner };
    const command = root.zygoteCommand({ binds, ...uids, program });
    const where = options.launchArguments ?? [];
    this.#process = spawner.spawn([...where, "--as", "zygote", "--", ...command]);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {}); // who has no use for it need not look
    this.ready = promise;
    const { socket, exited, kill } = this.#process;
    const late = setTimeout(kill, READY_MS_MAX);
    promise.catch(() => {}).finally(() => clearTimeout(late));
    let last = "";
    const parse = createFrameParser((frame) => {
      if (frame.type === "ready") return resolve();
      if (frame.type !== "error") throw new Error(`Unexpected ${frame.type} from a zygote`);
      last = `${frame.stage}: ${frame.message}`;
      onNote?.(frame.stage, frame.message);
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        parse(chunk);
      } catch {
        kill();
      }
    });
    void exited.then((said) => {
      this.#alive = false;
      socket.destroy();
      reject(new Error(`A zygote ended: ${said || last || "without a word"}`));
    });
    for (const bytes of setupFrame(filter)) socket.write(bytes);
  }

  /** False once it has ended, and its jails with it. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Forks a jail. */
  fork(
    launchArguments: readonly string[],
    { uid, diskBytes, diskInodes, tree }: ForkRequest,
  ): SpawnedProcess {
    const forked = this.#spawner.spawn([
      ...launchArguments,
      ...["--zygote", String(this.#process.id), "--uid", String(uid)],
      ...["--disk-bytes", String(diskBytes), "--disk-inodes", String(diskInodes)],
      ...(tree === undefined ? [] : treeArguments(tree, uid)),
    ]);
    this.#jails += 1;
    void forked.exited.then(() => {
      this.#jails -= 1;
      if (this.#jails === 0) this.#onEmpty?.();
    });
    return forked;
  }

  /** A jail of it is ready. */
  heard(): void {
    this.#heardMs = performance.now();
  }

  /** A jail that was asked for then is not ready yet, and late: unless others are, this is stuck, and is ended. */
  doubt(sinceMs: number): void {
    if (this.#alive && this.#heardMs < sinceMs) void this.close();
  }

  /** Ends it once the jails that it forked have ended; it is asked for no further one. */
  async retire(): Promise<void> {
    if (this.#jails > 0 && this.#alive) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        void this.#process.exited.then(() => resolve());
      });
    }
    await this.close();
  }

  /** Ends it, and every jail that it forked. */
  async close(): Promise<void> {
    this.#alive = false;
    this.#process.socket.destroy();
    this.#process.kill();
    await this.#process.exited;
  }
}

function treeArguments({ path, use }: TreeDisk, uid: number): string[] {
  return [
    ...[
      "--tree",
      path,
      "--tree-uid",
      String(TREE_UID),
      "--tree-writes",
      use === "make" ? "1" : "0",
    ],
    ...["--host-uid", String(UID_BASE + uid)],
  ];
}
