// A channel of a jail as a stream of Node's: a connection, with the flow control of its window on one side and of the
// stream on the other.
import { Duplex } from "node:stream";
import { type Channel, type ChannelListener, windowed } from "./channels.ts";

/** Writes, and says when there is room for more. */
async function pass(channel: Channel, chunk: Buffer, done: (error?: Error) => void) {
  let failure: Error | undefined;
  try {
    await channel.write(chunk);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  }
  done(failure);
}

/** How long what was written last may take to be read inside once both ends are done. */
const lingerMs = 30_000;

/** The stream of a channel, and the listener that feeds it. */
export interface ChannelStream {
  readonly stream: Duplex;
  readonly listener: ChannelListener;
}

/** Makes the stream; `windowBytes` may be on their way from the jail. Bytes each way call `moved`. */
export function openChannelStream(
  channel: Channel,
  windowBytes: number,
  moved: () => void = () => {},
): ChannelStream {
  const used = windowed(channel, "stdout", windowBytes);
  let owed = 0;
  let ends = 0;
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => {
      const bytes = owed;
      owed = 0;
      if (bytes > 0) used(bytes);
    },
    write: (chunk: Buffer, _encoding, callback) => {
      moved();
      void pass(channel, chunk, callback);
    },
    final: (callback) => {
      ends += 1;
      channel.endInput();
      callback();
    },
    destroy: (error, callback) => {
      // Closing would lose what the agent still holds of what was written.
      if (error === null && ends === 2) {
        const timer = setTimeout(() => channel.close(), lingerMs).unref();
        void channel.released.then(() => clearTimeout(timer));
      } else {
        channel.close();
      }
      callback(error);
    },
  });
  // Whoever uses it hears of it by its close.
  stream.on("error", () => {});
  void channel.released.then(() => stream.destroy());
  return {
    stream,
    listener: {
      output: (_, data) => {
        moved();
        if (stream.destroyed) return used(data.length);
        if (stream.push(data)) used(data.length);
        else owed += data.length;
      },
      outputEnd: () => {
        ends += 1;
        if (!stream.destroyed) stream.push(null);
      },
    },
  };
}
