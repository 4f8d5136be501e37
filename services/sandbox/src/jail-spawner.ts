/**
 * Starts jails through the agent's `spawn` program (see ../agent/spawn.c): a fork of this process
 * would cost 2 ms and slow it down by copy-on-write faults after; asking costs one write.
 *
 * One connection is one jail, and a few are kept open in advance, so that a request's bytes are with
 * the spawner the moment they are written. Should the spawner die, its jails die with it and it is
 * started again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SpawnedProcess {
  /** The other end is fd 3 of the process. */
  readonly socket: Socket;
  /** Resolves with what it said on stderr, bounded, when it has ended and was reaped. */
  readonly exited: Promise<string>;
  /** SIGKILL. */
  readonly kill: () => void;
}

export interface Spawner {
  /** At once; what goes wrong comes by `exited`. */
  readonly spawn: (args: readonly string[]) => SpawnedProcess;
  /** Ends it, and with it every jail there is. */
  readonly close: () => Promise<void>;
}

export interface SpawnerOptions {
  readonly agentPath: string;
  /** Connections held ready. Default 4; the spawner takes at most 64 that have not asked yet. */
  readonly spares?: number;
}

const RECORD_BYTES = 12;
const RESTART_MS = 100;

/** Resolves when jails can be spawned. */
export const openSpawner = async (options: SpawnerOptions): Promise<Spawner> => {
  const directory = mkdtempSync(join(tmpdir(), "syla-spawn-"));
  const path = join(directory, "spawn.sock");
  const waiting = new Map<number, (said: string) => void>();
  const spares = new Map<Socket, () => void>();
  let child: ChildProcess;
  let closing = false;
  let lastId = 0;

  const refill = (): void => {
    while (!closing && spares.size < (options.spares ?? 4)) {
      const socket = connect(path);
      // A spare that breaks before it is used is simply none; later errors are its jail's.
      const drop = (): void => void spares.delete(socket);
      socket.once("error", drop).once("close", drop);
      spares.set(socket, drop);
    }
  };
  const take = (): Socket => {
    for (const [socket, drop] of spares) {
      spares.delete(socket);
      socket.off("error", drop).off("close", drop);
      if (!socket.destroyed) return socket;
    }
    return connect(path);
  };
  const lose = (): void => {
    for (const resolve of waiting.values()) resolve("the spawner ended");
    waiting.clear();
    for (const socket of spares.keys()) socket.destroy();
  };
  const start = async (): Promise<void> => {
    rmSync(path, { force: true });
    child = spawn(options.agentPath, ["spawn", directory], {
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      env: {},
    });
    const started = child;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const parse = createRecordParser((id, said) => {
      if (id === 0) resolve();
      waiting.get(id)?.(said);
      waiting.delete(id);
    });
    controlOf(started).on("data", parse);
    started.once("error", reject);
    started.once("exit", (code, signal) => {
      reject(new Error(`Cannot spawn jails: the spawner ended (${signal ?? code})`));
      if (started !== child) return;
      lose();
      if (!closing) setTimeout(() => void start().then(refill, () => {}), RESTART_MS).unref();
    });
    await promise;
  };

  await start();
  refill();
  return {
    spawn: (args) => {
      const id = (lastId = (lastId % 0xffff_fffe) + 1);
      const { promise, resolve } = Promise.withResolvers<string>();
      const socket = take();
      let connected = !socket.connecting;
      socket.once("connect", () => (connected = true));
      socket.on("error", (error) => {
        // Once connected the spawner tells of the end; before, nobody would.
        if (!connected && waiting.delete(id)) resolve(error.message);
      });
      waiting.set(id, resolve);
      socket.cork();
      socket.write(requestOf(id, args));
      process.nextTick(() => socket.uncork()); // together with what the caller sends first
      setImmediate(refill);
      return { socket, exited: promise, kill: () => void controlOf(child).write(u32(id)) };
    },
    close: async () => {
      closing = true;
      lose();
      const exited = new Promise((resolve) => child.once("exit", resolve));
      controlOf(child).end();
      if (child.exitCode === null && child.signalCode === null) await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
};

const u32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
};

const requestOf = (id: number, args: readonly string[]): Buffer => {
  const body = Buffer.from(args.map((arg) => `${arg}\0`).join(""), "utf8");
  return Buffer.concat([u32(body.length), u32(id), body]);
};

const controlOf = (child: ChildProcess) => {
  const socket = child.stdio[3];
  if (!socket || !("write" in socket) || !("read" in socket)) {
    throw new Error("Cannot spawn jails: no control socket");
  }
  return socket;
};

/** Records {u32 id, i32 status, u32 length, text}, cut anywhere. */
const createRecordParser = (
  onRecord: (id: number, said: string) => void,
): ((chunk: Buffer) => void) => {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= RECORD_BYTES) {
      const end = RECORD_BYTES + held.readUInt32LE(8);
      if (held.length < end) return;
      onRecord(held.readUInt32LE(0), held.toString("utf8", RECORD_BYTES, end).trim());
      held = held.subarray(end);
    }
  };
};
