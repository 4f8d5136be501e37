// The channels of a jail that stays: what is started in it and what is connected to it, each with flow control of its
// own. An output is sent only as far as it was granted, and input waits here until the agent has room, so that one
// stream that nobody reads holds up no other, and none takes more memory than its window.
import { SylaError } from "@syla/kit/error";
import { FrameError, type RawFrame } from "./frames.ts";
import {
  ACCEPTED_FROM,
  CHANNELS_MAX,
  closeFrame,
  connectFrame,
  FRAME_COST,
  grantFrame,
  INPUT_BYTES,
  inputEndFrame,
  inputFrames,
  type KeptFrame,
  listenFrame,
  type Output,
  parseKeptFrame,
  type ProcessExit,
  type ProcessRequest,
  processFrames,
  resizeFrame,
  signalFrame,
  type TerminalSize,
} from "./keep-frames.ts";

/** Who hears what a channel says. */
export interface ChannelListener {
  /** It runs, or is connected: before anything else is heard of it. */
  begun?(pid: number | undefined): void;
  /** What is granted from then on is the listener's to say. */
  output(output: Output, data: Buffer): void;
  outputEnd?(output: Output): void;
  /** A process has ended; what it had printed went before. */
  exited?(exit: ProcessExit): void;
}

/** What was asked for could not be started, and why. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly stage: string;
  readonly errno: number;

  constructor(stage: string, errno: number) {
    super(`Cannot start: ${stage} (errno ${errno})`);
    this.stage = stage;
    this.errno = errno;
  }
}

/** Nobody reads this input any more. */
export class InputClosedError extends Error {
  override readonly name = "InputClosedError";
}

type Send = (frames: readonly Uint8Array[]) => void;

interface Pending {
  data: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Come {
  frames: number;
  bytes: number;
}

/** One process or connection. */
export class Channel {
  readonly id: number;
  /** Resolves with a process's pid; rejects with RefusedError, or when the jail ends. */
  readonly begun: Promise<number | undefined>;
  /** Resolves when nothing of it is left. */
  readonly released: Promise<void>;
  readonly #send: Send;
  readonly #listener: ChannelListener;
  readonly #begun = Promise.withResolvers<number | undefined>();
  readonly #released = Promise.withResolvers<void>();
  readonly #granted: Record<Output, number> = { stdout: 0, stderr: 0, words: 0 };
  readonly #come: Record<Output, Come> = {
    ...{ stdout: { frames: 0, bytes: 0 }, stderr: { frames: 0, bytes: 0 } },
    words: { frames: 0, bytes: 0 },
  };
  readonly #pending: Pending[] = [];
  #room = INPUT_BYTES;
  #input: "open" | "ending" | "closed" = "open";
  #closed = false;
  #gone = false;

  constructor(id: number, send: Send, listener: ChannelListener) {
    this.id = id;
    this.#send = send;
    this.#listener = listener;
    this.begun = this.#begun.promise;
    this.begun.catch(() => {});
    this.released = this.#released.promise;
  }

  /** What has come of an output. */
  come(output: Output): Readonly<Come> {
    return this.#come[output];
  }

  /** Lets so many more bytes of an output come. */
  grant(output: Output, bytes: number): void {
    if (this.#closed || this.#gone || bytes === 0) return;
    this.#granted[output] += bytes;
    this.#send(grantFrame(this.id, output, bytes));
  }

  /** Resolves when the agent has all of it; rejects with InputClosedError when nobody reads it. */
  write(data: Uint8Array): Promise<void> {
    if (this.#input !== "open" || this.#gone) return Promise.reject(closed());
    if (data.length === 0) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pending.push({ data, resolve, reject });
    this.#pour();
    return promise;
  }

  /** Ends the input after what was written. */
  endInput(): void {
    if (this.#input !== "open") return;
    this.#input = "ending";
    this.#pour();
  }

  /** To a process, or to all of its group. */
  signal(number: number, whole: boolean): void {
    if (!this.#gone) this.#send(signalFrame(this.id, number, whole));
  }

  resize(size: TerminalSize): void {
    if (!this.#gone) this.#send(resizeFrame(this.id, size));
  }

  /** Closes its streams; a process that is not ended goes on without. Nothing is said of them after that. */
  close(): void {
    if (this.#closed || this.#gone) return;
    this.#closed = true;
    this.#send(closeFrame(this.id));
  }

  /** Hears the agent; throws FrameError at what is not due. */
  take(frame: KeptFrame): void {
    switch (frame.type) {
      case "begun":
        this.#listener.begun?.(frame.pid);
        return this.#begun.resolve(frame.pid);
      case "refused":
        return this.#begun.reject(new RefusedError(frame.stage, frame.errno));
      case "output":
        this.#granted[frame.output] -= frame.data.length + FRAME_COST;
        if (this.#granted[frame.output] < 0) throw new FrameError("More output than was granted");
        this.#come[frame.output].frames += 1;
        this.#come[frame.output].bytes += frame.data.length;
        return this.#listener.output(frame.output, frame.data);
      case "outputEnd":
        return this.#listener.outputEnd?.(frame.output);
      case "exited":
        return this.#listener.exited?.(frame.exit);
      case "inputTaken":
        this.#room += frame.bytes;
        if (this.#room > INPUT_BYTES) throw new FrameError("More input taken than was given");
        return this.#pour();
      case "inputBroken":
        return this.#closeInput();
      case "released":
      case "accepted":
        throw new FrameError(`Unexpected ${frame.type}`);
    }
  }

  /** Nothing more comes, for this reason. */
  end(reason: Error): void {
    this.#gone = true;
    this.#closeInput();
    this.#begun.reject(reason);
    this.#released.resolve();
  }

  #pour(): void {
    if (this.#closed) return;
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      if (this.#room === 0) return;
      const piece = next.data.subarray(0, this.#room);
      this.#room -= piece.length;
      this.#send(inputFrames(this.id, piece));
      next.data = next.data.subarray(piece.length);
      if (next.data.length > 0) return;
      this.#pending.shift();
      next.resolve();
    }
    if (this.#input !== "ending") return;
    this.#input = "closed";
    this.#send(inputEndFrame(this.id));
  }

  #closeInput(): void {
    this.#input = "closed";
    for (const { reject } of this.#pending.splice(0)) reject(closed());
  }
}

const closed = (): InputClosedError => new InputClosedError("The input is closed");

/** Takes connections to a port in the jail. */
type Accept = (channel: Channel) => ChannelListener;

/** All channels of one jail. */
export class Channels {
  readonly #send: Send;
  readonly #open = new Map<number, Channel>();
  readonly #accepts = new Map<number, Accept>();
  #ended: Error | undefined;

  constructor(send: Send) {
    this.#send = send;
  }

  start(request: ProcessRequest, listener: ChannelListener): Channel {
    const channel = this.#make(listener);
    try {
      this.#send(processFrames(channel.id, request));
    } catch (error) {
      this.#open.delete(channel.id); // what cannot be sent has not begun
      throw error;
    }
    return channel;
  }

  /** To a port on the jail's loopback; its output is `stdout`. */
  connect(port: number, listener: ChannelListener): Channel {
    const channel = this.#make(listener);
    this.#send(connectFrame(channel.id, port));
    return channel;
  }

  /** Takes connections on a port of the jail's loopback; closing the channel ends that. */
  listen(port: number, accept: Accept): Channel {
    const channel = this.#make({ output: () => {} });
    this.#accepts.set(channel.id, accept);
    this.#send(listenFrame(channel.id, port));
    return channel;
  }

  /** Hears the agent; throws FrameError at what is not due. */
  take(raw: RawFrame): void {
    const frame = parseKeptFrame(raw);
    const channel = this.#open.get(raw.process);
    if (channel === undefined) throw new FrameError(`Channel ${raw.process} is not open`);
    if (frame.type === "released") {
      // The agent gives a name of its own choice to the next connection when it has heard the last of this one.
      if (channel.id >= ACCEPTED_FROM) channel.close();
      this.#open.delete(channel.id);
      this.#accepts.delete(channel.id);
      return channel.end(new Error("The channel has ended"));
    }
    if (frame.type === "accepted") return this.#accepted(channel, frame.channel);
    channel.take(frame);
  }

  /** The jail has ended. */
  end(reason: Error): void {
    this.#ended = reason;
    for (const channel of this.#open.values()) channel.end(reason);
    this.#open.clear();
    this.#accepts.clear();
  }

  #accepted(listening: Channel, id: number): void {
    const accept = this.#accepts.get(listening.id);
    if (accept === undefined || id < ACCEPTED_FROM || id >= CHANNELS_MAX || this.#open.has(id)) {
      throw new FrameError("Unexpected accepted");
    }
    const made: { listener?: ChannelListener } = {};
    const channel = new Channel(id, this.#send, {
      output: (output, data) => made.listener?.output(output, data),
      outputEnd: (output) => made.listener?.outputEnd?.(output),
    });
    this.#open.set(id, channel);
    made.listener = accept(channel);
  }

  #make(listener: ChannelListener): Channel {
    if (this.#ended !== undefined) throw this.#ended;
    for (let id = 0; id < ACCEPTED_FROM; id += 1) {
      if (this.#open.has(id)) continue;
      const channel = new Channel(id, this.#send, listener);
      this.#open.set(id, channel);
      return channel;
    }
    throw new SylaError(
      "processes_full",
      `A sandbox has at most ${ACCEPTED_FROM} processes at one time.`,
    );
  }
}

/**
 * Grants an output anew when half of its window is used up. What frames take beside their bytes comes back with these:
 * whoever holds many small pieces holds up more than their bytes.
 */
export function windowed(channel: Channel, output: Output, bytes: number): (used: number) => void {
  let owed = 0;
  let usedBytes = 0;
  let costBack = 0;
  channel.grant(output, bytes);
  return (used) => {
    usedBytes += used;
    const come = channel.come(output);
    const share = come.bytes === 0 ? 0 : usedBytes / come.bytes;
    const cost = Math.max(costBack, Math.floor(FRAME_COST * come.frames * Math.min(1, share)));
    owed += used + cost - costBack;
    costBack = cost;
    if (owed < bytes / 2) return;
    channel.grant(output, owed);
    owed = 0;
  };
}
