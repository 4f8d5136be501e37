/**
 * The frames of a jail that stays (see ../agent/README.md): many channels at a time, each a process
 * with its streams or a connection to a port in the jail. As in frames.ts, nothing is believed.
 */
import {
  FrameError,
  START_STAGES,
  type RawFrame,
  type StartRequest,
  fields,
  frame,
  oneOf,
  pieces,
  startFrames,
  u32,
} from "./frames.ts";

const TO_AGENT = {
  start: 16,
  connect: 17,
  listen: 18,
  input: 19,
  inputEnd: 20,
  signal: 21,
  resize: 22,
  grant: 23,
  close: 24,
} as const;

const FROM_AGENT = {
  begun: 144,
  refused: 145,
  accepted: 146,
  output: 147,
  outputEnd: 148,
  exited: 149,
  inputTaken: 150,
  inputBroken: 151,
  released: 152,
} as const;

const START = { input: 1, terminal: 2, words: 4, fork: 8, hushes: 16 } as const;

/** Channels that the host names; those from there on are connections that the jail's listeners took. */
export const ACCEPTED_FROM = 256;
export const CHANNELS_MAX = 512;
/** What a frame of output takes of what was granted beside its bytes: many small ones cost more than they hold. */
export const FRAME_COST = 256;
/** How much input a channel holds that is not taken yet. */
export const INPUT_BYTES = 65_536;

/** A channel's outputs; a process's words are what it writes to its fd 3. */
export const OUTPUTS = ["stdout", "stderr", "words"] as const;
export type Output = (typeof OUTPUTS)[number];

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ProcessRequest extends StartRequest {
  /** Has a standard input. */
  readonly input: boolean;
  readonly terminal: TerminalSize | undefined;
  /** Has a stream beside standard output and error. */
  readonly words: boolean;
  /** A fork of the interpreter that the jail is a fork of. */
  readonly fork: boolean;
  /** Stops all others until it exits; should it be killed, the agent lets them go on. */
  readonly hushes?: boolean;
}

export const processFrames = (channel: number, request: ProcessRequest): Uint8Array[] => {
  const { input, terminal, words, fork, hushes } = request;
  const flags =
    (input ? START.input : 0) |
    (terminal ? START.terminal : 0) |
    (words ? START.words : 0) |
    (fork ? START.fork : 0) |
    (hushes ? START.hushes : 0);
  const before = [Buffer.from([flags]), u32(terminal?.columns ?? 0), u32(terminal?.rows ?? 0)];
  return startFrames({ type: TO_AGENT.start, process: channel, flags: 0 }, before, request);
};

export const connectFrame = (channel: number, port: number): Uint8Array[] =>
  frame(TO_AGENT.connect, u32(port), channel);

export const listenFrame = (channel: number, port: number): Uint8Array[] =>
  frame(TO_AGENT.listen, u32(port), channel);

export const inputFrames = (channel: number, data: Uint8Array): Uint8Array[] =>
  pieces(TO_AGENT.input, data, channel);

export const inputEndFrame = (channel: number): Uint8Array[] =>
  frame(TO_AGENT.inputEnd, new Uint8Array(0), channel);

/** To the process, or to all of its group. */
export const signalFrame = (channel: number, signal: number, whole: boolean): Uint8Array[] =>
  frame(TO_AGENT.signal, Buffer.concat([u32(signal), Buffer.from([whole ? 1 : 0])]), channel);

export const resizeFrame = (channel: number, { columns, rows }: TerminalSize): Uint8Array[] =>
  frame(TO_AGENT.resize, Buffer.concat([u32(columns), u32(rows)]), channel);

/** So many bytes more may be sent of an output. */
export const grantFrame = (channel: number, output: Output, bytes: number): Uint8Array[] =>
  frame(TO_AGENT.grant, Buffer.concat([u32(OUTPUTS.indexOf(output)), u32(bytes)]), channel);

export const closeFrame = (channel: number): Uint8Array[] =>
  frame(TO_AGENT.close, new Uint8Array(0), channel);

/** Whether a frame is of a channel, and not of a run. */
export const isKept = ({ type }: RawFrame): boolean => type >= FROM_AGENT.begun;

/** How a process ended. */
export interface ProcessExit {
  readonly kind: "exited" | "signalled";
  /** Exit code or signal number. */
  readonly code: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly residentBytes: number;
}

export type KeptFrame =
  | { readonly type: "begun"; readonly pid: number | undefined }
  | {
      readonly type: "refused";
      readonly stage: (typeof START_STAGES)[number];
      readonly errno: number;
    }
  | { readonly type: "accepted"; readonly channel: number }
  | { readonly type: "output"; readonly output: Output; readonly data: Buffer }
  | { readonly type: "outputEnd"; readonly output: Output }
  | { readonly type: "exited"; readonly exit: ProcessExit }
  | { readonly type: "inputTaken"; readonly bytes: number }
  | { readonly type: "inputBroken" | "released" };

const parseExited = (payload: Buffer): KeptFrame => {
  const f = fields(payload);
  const exit: ProcessExit = {
    kind: oneOf(["exited", "signalled"] as const, f.u8()),
    code: f.u32(),
    userUs: f.u64(),
    systemUs: f.u64(),
    residentBytes: f.u64(),
  };
  f.end();
  if (exit.code > 255) throw new FrameError(`Code ${exit.code} of an exit is out of range`);
  return { type: "exited", exit };
};

const parseFields = <T extends KeptFrame>(
  payload: Buffer,
  read: (f: ReturnType<typeof fields>) => T,
): T => {
  const f = fields(payload);
  const value = read(f);
  f.end();
  return value;
};

export const parseKeptFrame = ({ type, flags, payload }: RawFrame): KeptFrame => {
  switch (type) {
    case FROM_AGENT.begun:
      return parseFields(payload, (f) => {
        return { type: "begun", pid: payload.length === 0 ? undefined : f.u32() };
      });
    case FROM_AGENT.refused:
      return parseFields(payload, (f) => {
        return { type: "refused", stage: oneOf(START_STAGES, f.u8()), errno: f.u32() };
      });
    case FROM_AGENT.accepted:
      return parseFields(payload, (f) => ({ type: "accepted", channel: f.u32() }));
    case FROM_AGENT.output:
      if (payload.length === 0) throw new FrameError("A data frame without a byte");
      return { type: "output", output: oneOf(OUTPUTS, flags), data: payload };
    case FROM_AGENT.outputEnd:
      return parseFields(payload, (f) => ({ type: "outputEnd", output: oneOf(OUTPUTS, f.u8()) }));
    case FROM_AGENT.exited:
      return parseExited(payload);
    case FROM_AGENT.inputTaken:
      return parseFields(payload, (f) => ({ type: "inputTaken", bytes: f.u32() }));
    case FROM_AGENT.inputBroken:
      return parseFields(payload, () => ({ type: "inputBroken" }));
    case FROM_AGENT.released:
      return parseFields(payload, () => ({ type: "released" }));
    default:
      throw new FrameError(`Unknown frame type ${type}`);
  }
};
