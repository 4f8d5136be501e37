/** The parser's promises: whole frames whatever the cuts, and an error for anything else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AgentFrame,
  FrameError,
  createFrameParser,
  execFrames,
  fileFrames,
} from "./frames.ts";

const bytesOf = (type: number, payload: Buffer, process = 7): Buffer => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(payload.length, 0);
  header[4] = type;
  header.writeUInt16LE(process, 6);
  return Buffer.concat([header, payload]);
};

const exit = (kind: number, reason: number, code: number): Buffer => {
  const payload = Buffer.alloc(40);
  payload.set([kind, reason, 0, 0], 0);
  payload.writeUInt32LE(code, 4);
  payload.writeBigUInt64LE(1234n, 8);
  return bytesOf(132, payload);
};

const parseAll = (chunks: readonly Buffer[]): AgentFrame[] => {
  const frames: AgentFrame[] = [];
  const parse = createFrameParser((frame) => void frames.push(frame));
  for (const chunk of chunks) parse(chunk);
  return frames;
};

describe("createFrameParser()", () => {
  it("gives the same frames however the bytes are cut", () => {
    const stream = Buffer.concat([
      bytesOf(128, Buffer.alloc(0)),
      bytesOf(129, Buffer.alloc(0)),
      bytesOf(130, Buffer.from("hello")),
      exit(0, 0, 3),
    ]);
    const whole = parseAll([stream]);
    assert.deepEqual(
      whole.map((frame) => frame.type),
      ["ready", "started", "stdout", "exit"],
    );
    for (let cut = 1; cut < stream.length; cut++) {
      assert.deepEqual(parseAll([stream.subarray(0, cut), stream.subarray(cut)]), whole);
    }
    assert.deepEqual(parseAll([...stream].map((byte) => Buffer.from([byte]))), whole);
  });

  it("refuses unknown types, lengths that do not fit, and values out of range", () => {
    const wrong = [
      bytesOf(0, Buffer.alloc(0)),
      bytesOf(140, Buffer.alloc(0)),
      bytesOf(1, Buffer.alloc(0)),
      bytesOf(128, Buffer.alloc(1)),
      bytesOf(132, Buffer.alloc(39)),
      bytesOf(132, Buffer.alloc(41)),
      bytesOf(137, Buffer.alloc(3)),
      bytesOf(138, Buffer.from([0, 0, 0, 0, 255, 255, 255, 255])),
      exit(3, 0, 0),
      exit(0, 9, 0),
      exit(0, 0, 256),
      Buffer.from([1, 0, 1, 0, 130, 0, 0, 0]), // 65,537 bytes
    ];
    for (const bytes of wrong) assert.throws(() => parseAll([bytes]), FrameError);
  });

  it("survives ten thousand random streams with frames or a FrameError, and nothing else", () => {
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let i = 0; i < 10_000; i++) {
      const payload = Buffer.from(Array.from({ length: random(64) }, () => random(256)));
      const bytes = bytesOf(126 + random(16), payload);
      if (random(4) === 0) bytes[random(bytes.length)] = random(256);
      try {
        parseAll([bytes]);
      } catch (error) {
        assert.ok(error instanceof FrameError);
      }
    }
  });
});

describe("the encoders", () => {
  const request = {
    process: 1,
    argv: ["/bin/true"],
    env: {},
    directory: "/work",
    wallUs: 1,
    stdoutBytes: 1,
    stderrBytes: 1,
    fileBytes: 0,
    addressBytes: 0,
    cpuSeconds: 0,
    openFiles: 0,
    processes: 0,
    start: "execute" as const,
  };

  it("cut what is longer than a frame", () => {
    const frames = fileFrames({ path: "f", content: Buffer.alloc(200_000) });
    const data = frames.filter((bytes) => bytes.length !== 8);
    assert.deepEqual(
      data.map((bytes) => bytes.length),
      [10, 65_536, 65_536, 65_536, 3_392, 0],
    );
  });

  it("refuse strings with NUL, and arguments that the agent cannot hold", () => {
    assert.throws(() => execFrames({ ...request, argv: ["a\0b"] }), FrameError);
    assert.throws(() => execFrames({ ...request, env: { A: "\0" } }), FrameError);
    assert.throws(() => execFrames({ ...request, argv: ["x".repeat(2 ** 20)] }), FrameError);
  });
});
