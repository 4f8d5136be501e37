/**
 * Starts jails through the agent's `spawn` program (see ../agent/spawn.c): a fork of this process
 * would cost 2 ms and slow it down by copy-on-write faults after; asking costs one write.
 *
 * One connection is one jail, and a few are kept open in advance, so that a request's bytes are
 * with the spawner the moment they are written. Should the spawner die, its jails die with it and
 * it is started again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SpawnedProcess {
  readonly id: number;
  /** The other end is fd 3 of the process. */
  readonly socket: Socket;
  /** Resolves with what it said on stderr, bounded, when it has ended and was reaped. */
  readonly exited: Promise<string>;
  /** SIGKILL. */
  readonly kill: () => void;
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
  const spawner = new Spawner(options);
  await spawner.start();
  return spawner;
};

export class Spawner {
  readonly #agentPath: string;
  readonly #sparesMax: number;
  readonly #directory = mkdtempSync(join(tmpdir(), "syla-spawn-"));
  readonly #path = join(this.#directory, "spawn.sock");
  readonly #jails = new Map<number, { socket: Socket; end: (said: string) => void }>();
  /** Each with what forgets it when it breaks. */
  readonly #spares = new Map<Socket, () => void>();
  #child: ChildProcess | undefined;
  #listening = Promise.withResolvers<void>();
  #closing = false;
  #lastId = 0;

  constructor(options: SpawnerOptions) {
    this.#agentPath = options.agentPath;
    this.#sparesMax = options.spares ?? 4;
  }

  /** Resolves when it can be asked; after its death, when it is there again. */
  get listening(): Promise<void> {
    return this.#listening.promise;
  }

  async start(): Promise<void> {
    rmSync(this.#path, { force: true });
    const child = spawn(this.#agentPath, ["spawn", this.#directory], {
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      env: {},
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once("error", reject); // first: with no descriptor left, nothing else of it is there
    this.#child = child;
    const parse = createRecordParser((id, said) => {
      if (id === 0) resolve();
      else this.#ended(id, said);
    });
    controlOf(child).on("data", parse);
    controlOf(child).on("error", () => {}); // it has ended, which `exit` tells
    let listened = false;
    child.once("exit", (code, signal) => {
      reject(new Error(`Cannot spawn jails: the spawner ended (${signal ?? code})`));
      if (!listened) return; // who started it is told
      this.#listening = Promise.withResolvers();
      this.#lose();
      this.#startAgain();
    });
    await promise;
    listened = true;
    this.#listening.resolve();
    this.#refill();
  }

  /** Until it succeeds: what keeps it from it, such as a host without memory, may pass. */
  #startAgain(): void {
    const failed = (): void => {
      this.#listening.resolve(); // nobody is to wait for what may not come
      this.#startAgain();
    };
    if (this.#closing) this.#listening.resolve();
    else setTimeout(() => void this.start().catch(failed), RESTART_MS).unref();
  }

  /** At once; what goes wrong comes by `exited`. */
  spawn(args: readonly string[]): SpawnedProcess {
    const id = (this.#lastId = (this.#lastId % 0xffff_fffe) + 1);
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = this.#take();
    let connected = !socket.connecting;
    socket.once("connect", () => (connected = true));
    socket.on("error", (error) => {
      // Once connected the spawner tells of the end; before, nobody would.
      if (!connected) this.#ended(id, error.message);
    });
    this.#jails.set(id, { socket, end: resolve });
    socket.cork();
    socket.write(requestOf(id, args), (error) => {
      // Closed before the request left: the spawner knows nothing of this jail, and will not tell.
      if (error) this.#ended(id, error.message);
    });
    process.nextTick(() => socket.uncork()); // together with what the caller sends first
    setImmediate(() => this.#refill());
    return { id, socket, exited: promise, kill: () => this.#kill(id) };
  }

  /** Ends it, and with it every jail there is. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#lose();
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      controlOf(child).end();
      await exited;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #refill(): void {
    while (!this.#closing && this.#spares.size < this.#sparesMax) {
      const socket = connect(this.#path);
      // A spare that breaks before it is used is simply none; later errors are its jail's.
      const drop = (): void => void this.#spares.delete(socket);
      socket.once("error", drop).once("close", drop);
      this.#spares.set(socket, drop);
    }
  }

  #take(): Socket {
    for (const [socket, drop] of this.#spares) {
      this.#spares.delete(socket);
      socket.off("error", drop).off("close", drop);
      if (!socket.destroyed) return socket;
    }
    return connect(this.#path);
  }

  #kill(id: number): void {
    if (this.#jails.has(id) && this.#child) controlOf(this.#child).write(u32(id));
  }

  #ended(id: number, said: string): void {
    this.#jails.get(id)?.end(said);
    this.#jails.delete(id);
  }

  #lose(): void {
    for (const [id, { socket }] of this.#jails) {
      // The kernel does not end what bubblewrap started for another uid: bubblewrap, without capabilities, may not
      // signal it (PDEATHSIG). An agent without its socket ends.
      socket.destroy();
      this.#ended(id, "the spawner ended");
    }
    for (const socket of this.#spares.keys()) socket.destroy();
  }
}

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
