import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { constants } from "node:os";
import {
  type Channel,
  type ChannelListener,
  Channels,
  InputClosedError,
  RefusedError,
  windowed,
} from "./channels.ts";
import { FrameError } from "./frames.ts";
import { type JailFixture, openFixture } from "./fixture.ts";
import { DEFAULT_ENVIRONMENT } from "./step.ts";
import { FRAME_COST, type ProcessExit, type ProcessRequest } from "./keep-frames.ts";

const window = 65_536;
let fixture: JailFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

interface Kept {
  readonly channels: Channels;
  /** Starts a program and gathers what it says. */
  start(argv: readonly string[], more?: Partial<ProcessRequest>): Heard;
}

interface Heard {
  readonly channel: Channel;
  readonly exited: Promise<ProcessExit>;
  text(output: "stdout" | "stderr" | "words"): string;
  until(output: "stdout" | "stderr" | "words", part: string): Promise<void>;
}

async function kept(run: (kept: Kept) => Promise<void>): Promise<void> {
  const jail = fixture.open();
  try {
    await jail.ready;
    const channels = jail.keep();
    await run({ channels, start: (argv, more) => hear(channels, argv, more) });
  } finally {
    await jail.close();
  }
}

const request = (argv: readonly string[]): ProcessRequest => ({
  argv,
  env: { ...DEFAULT_ENVIRONMENT },
  directory: "/work",
  ...{ fileBytes: 0, addressBytes: 0, cpuSeconds: 0, openFiles: 1024, processes: 0 },
  ...{ input: false, terminal: undefined, words: false, fork: false },
});

function hear(
  channels: Channels,
  argv: readonly string[],
  more: Partial<ProcessRequest> = {},
): Heard {
  const said = { stdout: "", stderr: "", words: "" };
  const waiting = new Set<() => void>();
  const exited = Promise.withResolvers<ProcessExit>();
  const used: Partial<Record<string, (bytes: number) => void>> = {};
  const listener: ChannelListener = {
    output: (output, data) => {
      said[output] += data.toString("latin1");
      used[output]?.(data.length);
      for (const look of waiting) look();
    },
    exited: exited.resolve,
  };
  const channel = channels.start({ ...request(argv), ...more }, listener);
  for (const output of ["stdout", "stderr", "words"] as const)
    used[output] = windowed(channel, output, window);
  return {
    channel,
    exited: exited.promise,
    text: (output) => said[output],
    until: (output, part) =>
      new Promise((resolve) => {
        const look = () => {
          if (!said[output].includes(part)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

const shell = (code: string): string[] => ["/bin/sh", "-c", code];

describe("a jail that stays", () => {
  test("runs many processes at a time, each with its own streams and end", () =>
    kept(async ({ start }) => {
      const all = Array.from({ length: 20 }, (_, n) =>
        start(shell(`echo out ${n}; echo err ${n} >&2; exit ${n}`)),
      );
      for (const [n, one] of all.entries()) {
        assert.equal((await one.exited).code, n);
        assert.deepEqual([one.text("stdout"), one.text("stderr")], [`out ${n}\n`, `err ${n}\n`]);
        await one.channel.released;
      }
    }));

  test("gives a process what is written to it, however slowly it reads, and then its end", () =>
    kept(async ({ start }) => {
      const counts = start(shell("sleep 0.2; wc -c"), { input: true });
      const piece = Buffer.alloc(100_000, "x");
      for (let n = 0; n < 10; n += 1) await counts.channel.write(piece);
      counts.channel.endInput();
      await counts.exited;
      assert.equal(counts.text("stdout").trim(), "1000000");
      await assert.rejects(counts.channel.write(piece), InputClosedError);
    }));

  test("tells who writes to a process that nobody reads", () =>
    kept(async ({ start }) => {
      const deaf = start(shell("exec 0<&-; sleep 0.1"), { input: true });
      await assert.rejects(async () => {
        for (;;) await deaf.channel.write(Buffer.alloc(65_536));
      }, InputClosedError);
    }));

  test("sends output only as far as it was granted, and holds up no other process", () =>
    kept(async ({ channels, start }) => {
      let bytes = 0;
      const endless = channels.start(request(shell("yes")), {
        output: (_, data) => void (bytes += data.length),
      });
      endless.grant("stdout", 100_000);
      const other = start(shell("echo here"));
      assert.equal((await other.exited).code, 0);
      assert.equal(other.text("stdout"), "here\n");
      assert.ok(bytes <= 100_000);
      endless.signal(constants.signals.SIGKILL, true);
    }));

  test("counts small pieces of output as more than their bytes, and goes on when they are used", () =>
    kept(async ({ channels }) => {
      const code = "import os, time\nfor n in range(400): os.write(1, b'x'); time.sleep(0.0005)";
      let [frames, bytes] = [0, 0];
      const enough = Promise.withResolvers<void>();
      const ended = Promise.withResolvers<void>();
      const held: number[] = [];
      const channel = channels.start(request(["/usr/bin/python3", "-c", code]), {
        output: (_, { length }) => {
          [frames, bytes] = [frames + 1, bytes + length];
          held.push(length);
          if (8192 - frames * FRAME_COST - bytes <= FRAME_COST) enough.resolve();
        },
        outputEnd: (output) => {
          if (output === "stdout") ended.resolve();
        },
      });
      const used = windowed(channel, "stdout", 8192);
      await enough.promise;
      assert.ok(frames * FRAME_COST + bytes <= 8192);
      const going = setInterval(() => {
        for (const length of held.splice(0)) used(length);
      }, 1);
      await ended.promise;
      clearInterval(going);
      assert.equal(bytes, 400);
    }));

  test("reports an end after all that was printed before it, and goes on with what its children print", () =>
    kept(async ({ start }) => {
      const parent = start(shell("(sleep 0.3; echo late) & seq 1 20000; exit 3"));
      assert.equal((await parent.exited).code, 3);
      assert.ok(parent.text("stdout").endsWith("20000\n"));
      await parent.until("stdout", "late");
      await parent.channel.released;
    }));

  test("signals a process's whole group, or it alone", () =>
    kept(async ({ start }) => {
      const group = start(shell("sleep 100 & sleep 100 & echo up; wait"));
      await group.until("stdout", "up");
      group.channel.signal(constants.signals.SIGTERM, true);
      const { kind, code } = await group.exited;
      assert.deepEqual({ kind, code }, { kind: "signalled", code: constants.signals.SIGTERM });
      await group.channel.released;
    }));

  test("gives a terminal of the size that was asked for, and changes it", () =>
    kept(async ({ start }) => {
      const code = [
        "import os, signal, sys, time",
        "def show(*_): os.write(1, ('%d %d ' % os.get_terminal_size() + os.ttyname(0)).encode())",
        "signal.signal(signal.SIGWINCH, show); signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "show()",
        "while True: time.sleep(1)",
      ].join("\n");
      const shown = start(["/usr/bin/python3", "-c", code], {
        terminal: { columns: 91, rows: 33 },
      });
      await shown.until("stdout", "91 33 /dev/pts/");
      shown.channel.resize({ columns: 44, rows: 22 });
      await shown.until("stdout", "44 22");
      await shown.channel.write(Buffer.from("\u0003")); // what Ctrl-C sends
      assert.equal((await shown.exited).code, constants.signals.SIGINT);
    }));

  test("has words of a process after what it printed before them", () =>
    kept(async ({ start }) => {
      const code = "for i in $(seq 200); do echo $i; echo word $i >&3; done";
      const order: string[] = [];
      const both = start(["/bin/bash", "-c", code], { words: true });
      void both.until("words", "word 200").then(() => order.push(both.text("stdout")));
      await both.exited;
      assert.ok(order[0]?.endsWith("200\n"));
    }));

  test("says why a process could not be started", () =>
    kept(async ({ start }) => {
      const nothing = start(["/no/such/program"]);
      await assert.rejects(nothing.channel.begun, (error: unknown) => {
        assert.ok(error instanceof RefusedError);
        assert.deepEqual([error.stage, error.errno], ["execute", constants.errno.ENOENT]);
        return true;
      });
      await nothing.channel.released;
    }));

  test("connects to a port in it, both ways, and takes connections from inside", () =>
    kept(async ({ channels, start }) => {
      const server = [
        "import socket; s = socket.create_server(('127.0.0.1', 7000)); print('up', flush=True)",
        "c, _ = s.accept(); data = b''",
        "while True:",
        "  part = c.recv(65536)",
        "  if not part: break",
        "  data += part",
        "c.sendall(data.upper()); c.close()",
        "c = socket.create_connection(('127.0.0.1', 7001)); c.sendall(b'hello'); print(c.recv(9).decode())",
      ].join("\n");
      const proxy = channels.listen(7001, (channel) => {
        channel.grant("stdout", window);
        return { output: (_, data) => void channel.write(Buffer.from(`<${data.toString()}>`)) };
      });
      await proxy.begun;
      const serving = start(["/usr/bin/python3", "-c", server]);
      await serving.until("stdout", "up");
      let answer = "";
      const ended = Promise.withResolvers<void>();
      const connection = channels.connect(7000, {
        output: (_, data) => void (answer += data.toString()),
        outputEnd: () => ended.resolve(),
      });
      connection.grant("stdout", 1_000_000);
      await connection.begun;
      await connection.write(Buffer.from("a".repeat(200_000)));
      connection.endInput();
      await ended.promise;
      assert.equal(answer, "A".repeat(200_000));
      await serving.exited;
      assert.equal(serving.text("stdout"), "up\n<hello>\n");
      await assert.rejects(channels.connect(7999, { output: () => {} }).begun, RefusedError);
    }));

  test("does to no connection what was said of the one before it", () =>
    kept(async ({ channels, start }) => {
      const client = [
        "import socket",
        "for n in range(300):",
        "    c = socket.create_connection(('127.0.0.1', 7001)); c.sendall(b'%d' % n)",
        "    said = b''.join(iter(lambda: c.recv(100), b'')); c.close()",
        "    if said != b'<%d>' % n: print(n, said)",
        "print('done')",
      ].join("\n");
      // What it says last is on its way when the agent has already released it, and taken the next.
      const proxy = channels.listen(7001, (channel) => {
        channel.grant("stdout", window);
        return {
          output: (_, data) => {
            void channel.write(Buffer.from(`<${data.toString()}>`));
            channel.endInput();
          },
          outputEnd: () => channel.close(),
        };
      });
      await proxy.begun;
      const running = start(["/usr/bin/python3", "-c", client]);
      await running.exited;
      assert.equal(running.text("stdout"), "done\n");
    }));

  test("connects to a server that listens on ::1 alone, and to 127.0.0.1 where both have one", () =>
    kept(async ({ channels, start }) => {
      const server = [
        "import socket",
        "six = [socket.create_server(('::1', p), family=socket.AF_INET6) for p in (7000, 7001)]",
        "four = socket.create_server(('127.0.0.1', 7001)); print('up', flush=True)",
        "c, _ = six[0].accept(); c.sendall(b'six'); c.close()",
        "c, _ = four.accept(); c.sendall(b'four'); c.close()",
      ].join("\n");
      const serving = start(["/usr/bin/python3", "-c", server]);
      await serving.until("stdout", "up");
      for (const [port, said] of [
        [7000, "six"],
        [7001, "four"],
      ] as const) {
        let answer = "";
        const ended = Promise.withResolvers<void>();
        const connection = channels.connect(port, {
          output: (_, data) => void (answer += data.toString()),
          outputEnd: () => ended.resolve(),
        });
        connection.grant("stdout", window);
        await connection.begun;
        await ended.promise;
        connection.close();
        assert.equal(answer, said);
      }
      await serving.exited;
    }));

  test("ends with everything in it when it is closed, and tells all who wait", async () => {
    const jail = fixture.open();
    await jail.ready;
    const channels = jail.keep();
    const sleeps = hear(channels, shell("sleep 100"), { input: true });
    await sleeps.channel.begun;
    const unread = sleeps.channel.write(Buffer.alloc(1_000_000));
    await Promise.all([jail.close(), assert.rejects(unread), sleeps.channel.released]);
    assert.throws(() => channels.start(request(shell("true")), { output: () => {} }));
  });
});

describe("Channels", () => {
  const frame = (type: number, process: number, payload: Buffer, flags = 0) => ({
    type,
    process,
    payload,
    flags,
  });
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };

  test("believes an agent nothing that is not due", () => {
    const channels = new Channels(() => {});
    const channel = channels.start(request(["/bin/true"]), { output: () => {} });
    channel.grant("stdout", FRAME_COST + 2);
    channels.take(frame(147, channel.id, Buffer.from("ab"), 0));
    for (const wrong of [
      frame(147, channel.id, Buffer.from("c"), 0),
      frame(147, channel.id, Buffer.from("c"), 7),
      frame(147, channel.id, Buffer.alloc(0), 0),
      frame(147, 9, Buffer.from("c"), 0),
      frame(150, channel.id, u32(1)),
      frame(146, channel.id, u32(300)),
      frame(152, channel.id, u32(1)),
      frame(200, channel.id, u32(1)),
    ]) {
      assert.throws(() => channels.take(wrong), FrameError);
    }
  });
});
