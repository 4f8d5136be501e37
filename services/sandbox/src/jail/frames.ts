/**
 * The bytes between the host and the agent inside a jail (see ../agent/README.md): encoders for
 * what the host says, a parser for what it hears. The agent is ours, but it lives beside untrusted
 * code, so the parser believes nothing: whatever does not fit throws, and the caller ends the jail.
 */

import type { SeccompFilter } from "../seccomp/seccomp.ts";

const PAYLOAD_BYTES_MAX = 65_536;
/** argv and env together, and their lengths, as the agent's buffer holds them. */
const EXEC_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES = 8;
const FLAG_MORE = 1;
/** How an interpreter gets its program; see ../agent/agent.h. */
const START_FLAGS = { execute: 0, fork: 2, hold: 4, release: 8 } as const;

const TO_AGENT = {
  setup: 1,
  fileBegin: 2,
  fileData: 3,
  fileEnd: 4,
  stdin: 5,
  exec: 6,
  kill: 7,
  collect: 8,
  collectTree: 9,
  keep: 10,
} as const;

const FROM_AGENT = {
  ready: 128,
  started: 129,
  stdout: 130,
  stderr: 131,
  exit: 132,
  artifactBegin: 133,
  artifactData: 134,
  artifactEnd: 135,
  artifactError: 136,
  usage: 137,
  error: 138,
  held: 139,
  treeFile: 140,
  treeData: 141,
  treeEnd: 142,
} as const;

/** The bytes broke the protocol; the jail they come from is not to be believed any more. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

const header = (type: number, length: number, flags: number, process: number): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES);
  bytes.writeUInt32LE(length, 0);
  bytes[4] = type;
  bytes[5] = flags;
  bytes.writeUInt16LE(process, 6);
  return bytes;
};

export const frame = (type: number, payload: Uint8Array, process = 0, flags = 0): Uint8Array[] => [
  header(type, payload.length, flags, process),
  payload,
];

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
};

const u64 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(BigInt(value), 0);
  return bytes;
};

const text = (value: string): Buffer => {
  if (value.includes("\0")) throw new FrameError("Cannot send a string that contains NUL");
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u32(bytes.length), bytes, Buffer.alloc(1)]);
};

/** `data` in pieces that fit a frame each, without copying. */
export const pieces = (type: number, data: Uint8Array, process = 0): Uint8Array[] => {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += PAYLOAD_BYTES_MAX) {
    frames.push(...frame(type, data.subarray(at, at + PAYLOAD_BYTES_MAX), process));
  }
  return frames;
};

/** First of all: the seccomp filter under which the agent and the program live. */
export const setupFrame = ({ first, second }: SeccompFilter): Uint8Array[] =>
  frame(TO_AGENT.setup, Buffer.concat([u32(first.length), first, second]));

export interface JailFile {
  /** Relative to /work, without `.` or `..`. */
  readonly path: string;
  readonly content: Uint8Array;
  /** Permission bits, default 0644. */
  readonly mode?: number;
}

export const fileFrames = (file: JailFile): Uint8Array[] => [
  ...frame(TO_AGENT.fileBegin, Buffer.concat([u32(file.mode ?? 0o644), text(file.path)])),
  ...pieces(TO_AGENT.fileData, file.content),
  ...frame(TO_AGENT.fileEnd, new Uint8Array(0)),
];

export interface ExecRequest {
  readonly process: number;
  /** The first is an absolute path. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly directory: string;
  /** undefined: /dev/null. */
  readonly stdin?: Uint8Array | undefined;
  readonly wallUs: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** rlimits; 0 leaves one as it is. */
  readonly fileBytes: number;
  readonly addressBytes: number;
  readonly cpuSeconds: number;
  readonly openFiles: number;
  readonly processes: number;
  readonly start: keyof typeof START_FLAGS;
}

/** What a program is started with, and held to. */
export type StartRequest = Pick<
  ExecRequest,
  | "argv"
  | "env"
  | "directory"
  | "fileBytes"
  | "addressBytes"
  | "cpuSeconds"
  | "openFiles"
  | "processes"
>;

/** The frames of a request that ends with what is started, in as many as argv and env need. */
export const startFrames = (
  { type, process, flags }: { type: number; process: number; flags: number },
  before: readonly Buffer[],
  request: StartRequest,
): Uint8Array[] => {
  const env = Object.entries(request.env).map(([name, value]) => text(`${name}=${value}`));
  const argv = request.argv.map(text);
  const payload = Buffer.concat([
    ...before,
    u64(request.fileBytes),
    u64(request.addressBytes),
    u32(request.cpuSeconds),
    u32(request.openFiles),
    u32(request.processes),
    text(request.directory),
    u32(argv.length),
    ...argv,
    u32(env.length),
    ...env,
  ]);
  if (payload.length > EXEC_BYTES_MAX) {
    throw new FrameError(`Cannot execute: arguments and environment take ${payload.length} bytes`);
  }
  const frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += PAYLOAD_BYTES_MAX) {
    const more = at + PAYLOAD_BYTES_MAX < payload.length ? FLAG_MORE : 0;
    const piece = payload.subarray(at, at + PAYLOAD_BYTES_MAX);
    frames.push(...frame(type, piece, process, more | flags));
  }
  return frames;
};

/** STDIN frames if there is any, then EXEC. */
export const execFrames = (request: ExecRequest): Uint8Array[] => {
  const { process, stdin, start } = request;
  const before = [
    u64(request.wallUs),
    u64(request.stdoutBytes),
    u64(request.stderrBytes),
    Buffer.from([stdin === undefined ? 0 : 1]),
  ];
  const head = { type: TO_AGENT.exec, process, flags: START_FLAGS[start] };
  return [
    ...(stdin ? pieces(TO_AGENT.stdin, stdin, process) : []),
    ...startFrames(head, before, request),
  ];
};

/** Signal 9 ends everything in the jail but the agent; another goes to the main process. */
export const killFrame = (signal: number, process = 0): Uint8Array[] =>
  frame(TO_AGENT.kill, u32(signal), process);

export interface WantedArtifact {
  readonly path: string;
  readonly bytesMax: number;
}

/** At most 64 KiB of paths; answers carry the path's place in the list. */
export const collectFrame = (wanted: readonly WantedArtifact[]): Uint8Array[] => {
  const entries = wanted.flatMap(({ path, bytesMax }) => [u64(bytesMax), text(path)]);
  const payload = Buffer.concat([u32(wanted.length), ...entries]);
  if (payload.length > PAYLOAD_BYTES_MAX) {
    throw new FrameError(`Cannot collect: the paths take ${payload.length} bytes`);
  }
  return frame(TO_AGENT.collect, payload);
};

/** A file in /work, or a folder there with all that is in it. */
export interface WantedTree {
  readonly name: string;
  /** Of all files together. */
  readonly bytesMax: number;
  /** Files and folders. */
  readonly entriesMax: number;
}

export const collectTreeFrame = ({ name, bytesMax, entriesMax }: WantedTree): Uint8Array[] =>
  frame(TO_AGENT.collectTree, Buffer.concat([u64(bytesMax), u32(entriesMax), text(name)]));

export const END_REASONS = ["none", "timeout", "stdout", "stderr", "killed"] as const;
export const START_STAGES = ["none", "files", "streams", "directory", "limits", "execute"] as const;

/** How a program ended, as the agent saw it. */
export interface ProgramEnd {
  readonly kind: "exited" | "signalled" | "notStarted";
  /** Exit code, signal number, or errno. */
  readonly code: number;
  /** What made the agent end it. */
  readonly reason: (typeof END_REASONS)[number];
  /** Where a program that did not start failed. */
  readonly stage: (typeof START_STAGES)[number];
  readonly wallUs: number;
  readonly userUs: number;
  readonly systemUs: number;
  /** Largest resident set of any one process. */
  readonly residentBytes: number;
}

export interface JailUsage {
  readonly diskBytes: number;
  readonly diskBytesMax: number;
  readonly inodes: number;
  readonly inodesMax: number;
  readonly diskFull: boolean;
  readonly inodesFull: boolean;
  readonly networkBytes: number;
}

export type AgentFrame =
  | { readonly type: "ready" | "held" }
  | { readonly type: "started"; readonly process: number }
  | { readonly type: "stdout" | "stderr"; readonly process: number; readonly data: Buffer }
  | { readonly type: "usage"; readonly process: number; readonly usage: JailUsage }
  | { readonly type: "exit"; readonly process: number; readonly end: ProgramEnd }
  | { readonly type: "artifactBegin"; readonly index: number; readonly bytes: number }
  | { readonly type: "artifactData"; readonly index: number; readonly data: Buffer }
  | { readonly type: "artifactEnd"; readonly index: number; readonly truncated: boolean }
  | { readonly type: "artifactError"; readonly index: number; readonly reason: string }
  | {
      readonly type: "treeFile";
      readonly path: string;
      readonly mode: number;
      readonly bytes: number;
    }
  | { readonly type: "treeData"; readonly data: Buffer }
  | { readonly type: "treeEnd"; readonly errno: number }
  | {
      readonly type: "error";
      readonly errno: number;
      readonly stage: string;
      readonly message: string;
    };

/** Reads a payload field by field; every read checks that the field is there. */
export const fields = (payload: Buffer) => {
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > payload.length) throw new FrameError("A frame is shorter than its fields");
    at += length;
    return payload.subarray(at - length, at);
  };
  const number32 = (): number => take(4).readUInt32LE(0);
  return {
    u8: (): number => take(1).readUInt8(0),
    u32: number32,
    u64: (): number => {
      const value = take(8).readBigUInt64LE(0);
      if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError("A number is too large");
      return Number(value);
    },
    /** A size that the program chose: a sparse file can have one that is no exact number here. */
    size: (): number => Math.min(Number(take(8).readBigUInt64LE(0)), Number.MAX_SAFE_INTEGER),
    text: (): string => {
      const value = take(number32()).toString("utf8");
      take(1);
      return value;
    },
    end: (): void => {
      if (at !== payload.length) throw new FrameError("A frame is longer than its fields");
    },
  };
};

export const oneOf = <T>(values: readonly T[], index: number): T => {
  const value = values[index];
  if (value === undefined) throw new FrameError(`Unknown code ${index} in a frame`);
  return value;
};

const KINDS = ["exited", "signalled", "notStarted"] as const;

const parseExit = (payload: Buffer): ProgramEnd => {
  const f = fields(payload);
  const kind = oneOf(KINDS, f.u8());
  const reason = oneOf(END_REASONS, f.u8());
  const stage = oneOf(START_STAGES, f.u8());
  f.u8();
  const end: ProgramEnd = {
    kind,
    reason,
    stage,
    code: f.u32(),
    wallUs: f.u64(),
    userUs: f.u64(),
    systemUs: f.u64(),
    residentBytes: f.u64(),
  };
  f.end();
  if (end.code > 255) throw new FrameError(`Code ${end.code} of an exit is out of range`);
  return end;
};

const parseUsage = (payload: Buffer): JailUsage => {
  const f = fields(payload);
  const usage: JailUsage = {
    diskBytes: f.u64(),
    diskBytesMax: f.u64(),
    inodes: f.u64(),
    inodesMax: f.u64(),
    diskFull: f.u8() !== 0,
    inodesFull: f.u8() !== 0,
    networkBytes: f.u64(),
  };
  f.end();
  return usage;
};

const parseArtifact = (type: number, index: number, payload: Buffer): AgentFrame => {
  if (type === FROM_AGENT.artifactData) return { type: "artifactData", index, data: payload };
  const f = fields(payload);
  if (type === FROM_AGENT.artifactBegin) {
    const bytes = f.size();
    f.u32();
    f.end();
    return { type: "artifactBegin", index, bytes };
  }
  if (type === FROM_AGENT.artifactEnd) {
    f.u64();
    const truncated = f.u8() !== 0;
    f.end();
    return { type: "artifactEnd", index, truncated };
  }
  f.u32();
  const reason = f.text();
  f.end();
  return { type: "artifactError", index, reason };
};

const parseTreeFile = (payload: Buffer): AgentFrame => {
  const f = fields(payload);
  const parsed: AgentFrame = {
    type: "treeFile",
    bytes: f.u64(),
    mode: f.u32(),
    path: f.text(),
  };
  f.end();
  return parsed;
};

const parseTreeEnd = (payload: Buffer): AgentFrame => {
  const f = fields(payload);
  const parsed: AgentFrame = { type: "treeEnd", errno: f.u32() };
  f.end();
  return parsed;
};

const parseError = (payload: Buffer): AgentFrame => {
  const f = fields(payload);
  const parsed: AgentFrame = { type: "error", errno: f.u32(), stage: f.text(), message: f.text() };
  f.end();
  return parsed;
};

/** Of these the agent sends none without a byte, which would take memory here and count as nothing. */
const DATA: ReadonlySet<number> = new Set([
  ...[FROM_AGENT.stdout, FROM_AGENT.stderr, FROM_AGENT.artifactData, FROM_AGENT.treeData],
]);

export const parseFrame = ({ type, process, payload }: RawFrame): AgentFrame => {
  if (payload.length === 0 && DATA.has(type)) throw new FrameError("A data frame without a byte");
  switch (type) {
    case FROM_AGENT.ready:
      fields(payload).end();
      return { type: "ready" };
    case FROM_AGENT.held:
      fields(payload).end();
      return { type: "held" };
    case FROM_AGENT.started:
      fields(payload).end();
      return { type: "started", process };
    case FROM_AGENT.stdout:
      return { type: "stdout", process, data: payload };
    case FROM_AGENT.stderr:
      return { type: "stderr", process, data: payload };
    case FROM_AGENT.exit:
      return { type: "exit", process, end: parseExit(payload) };
    case FROM_AGENT.usage:
      return { type: "usage", process, usage: parseUsage(payload) };
    case FROM_AGENT.error:
      return parseError(payload);
    case FROM_AGENT.artifactBegin:
    case FROM_AGENT.artifactData:
    case FROM_AGENT.artifactEnd:
    case FROM_AGENT.artifactError:
      return parseArtifact(type, process, payload);
    case FROM_AGENT.treeFile:
      return parseTreeFile(payload);
    case FROM_AGENT.treeData:
      return { type: "treeData", data: payload };
    case FROM_AGENT.treeEnd:
      return parseTreeEnd(payload);
    default:
      throw new FrameError(`Unknown frame type ${type}`);
  }
};

/** From here on the jail is spoken to as in keep-frames.ts. */
export const keepFrame = (): Uint8Array[] => frame(TO_AGENT.keep, new Uint8Array(0));

/** A frame whose payload nobody has looked at. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly process: number;
  readonly payload: Buffer;
}

/**
 * A function to be fed what the socket gives, in pieces cut anywhere; it calls `onFrame` for each
 * whole frame and throws FrameError at the first that breaks the protocol. It holds at most one
 * frame. Data in frames is a view of what was fed, valid for as long as it is held.
 */
export const createFrameReader = (
  onFrame: (frame: RawFrame) => void,
): ((chunk: Buffer) => void) => {
  let held: Buffer | undefined;
  return (chunk) => {
    const bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
    held = undefined;
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > PAYLOAD_BYTES_MAX) throw new FrameError(`A frame of ${length} bytes`);
      const end = at + HEADER_BYTES + length;
      if (end > bytes.length) break;
      onFrame({
        type: bytes.readUInt8(at + 4),
        flags: bytes.readUInt8(at + 5),
        process: bytes.readUInt16LE(at + 6),
        payload: bytes.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    if (at < bytes.length) held = bytes.subarray(at);
  };
};

/** The same for a jail that runs one program, with what its frames say. */
export const createFrameParser = (
  onFrame: (frame: AgentFrame) => void,
): ((chunk: Buffer) => void) => createFrameReader((raw) => onFrame(parseFrame(raw)));
