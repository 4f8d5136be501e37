import assert from "node:assert/strict";
import { test } from "node:test";

import { assemble, INSTRUCTIONS_MAX } from "./bpf.ts";
import type { Instruction } from "./bpf.ts";

const end: Instruction = { op: "return", value: 7 };

function returns(count: number): Instruction[] {
  return Array.from({ length: count }, () => end);
}

test("assemble() writes struct sock_filter, little-endian, with labels as distances", () => {
  const bytes = assemble([
    { op: "load", offset: 4 },
    { op: "if", condition: "equal", value: 0xc000_003e, then: "yes", else: null },
    { op: "return", value: 0x8000_0000 },
    { op: "label", name: "yes" },
    end,
  ]);
  assert.deepEqual(
    [...bytes],
    [
      [0x20, 0, 0, 0, 4, 0, 0, 0],
      [0x15, 0, 1, 0, 0x3e, 0, 0, 0xc0],
      [0x06, 0, 0, 0, 0, 0, 0, 0x80],
      [0x06, 0, 0, 0, 7, 0, 0, 0],
    ].flat(),
  );
});

test("assemble() lets a condition jump 255 instructions and refuses 256", () => {
  const far = (gap: number): Instruction[] => [
    { op: "if", condition: "anyBit", value: 1, then: "far", else: null },
    ...returns(gap),
    { op: "label", name: "far" },
    end,
  ];
  assert.equal(assemble(far(255))[2], 255);
  assert.throws(() => assemble(far(256)), /Cannot jump 256 instructions to far: the limit is 255/);
});

test("assemble() lets a plain jump reach any distance", () => {
  const bytes = assemble([
    { op: "jump", to: "far" },
    ...returns(3000),
    { op: "label", name: "far" },
    end,
  ]);
  assert.equal(new DataView(bytes.buffer).getUint32(4, true), 3000);
});

test("assemble() takes as many instructions as the kernel and refuses one more", () => {
  assert.equal(assemble(returns(INSTRUCTIONS_MAX)).length, INSTRUCTIONS_MAX * 8);
  assert.throws(() => assemble(returns(INSTRUCTIONS_MAX + 1)), /Cannot assemble 4097/);
  assert.throws(() => assemble([]), /Cannot assemble 0 instructions/);
});

test("assemble() refuses unknown, repeated and backward labels, and a missing return", () => {
  const label: Instruction = { op: "label", name: "here" };
  const jump: Instruction = { op: "jump", to: "here" };
  assert.throws(() => assemble([jump, end]), /Cannot jump to here: no such label/);
  assert.throws(() => assemble([label, label, end]), /Cannot place the label here twice/);
  assert.throws(() => assemble([label, jump, end]), /Cannot jump back to here/);
  assert.throws(() => assemble([{ op: "load", offset: 0 }]), /does not end with a return/);
});
