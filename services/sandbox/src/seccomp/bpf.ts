/**
 * A small assembler for classic BPF, the language of seccomp filters: instructions with labels in,
 * `struct sock_filter[]` out. Jumps go forward only, which is all the kernel accepts; a
 * conditional jump reaches 255 instructions, a plain one any distance.
 */

/** The kernel's limit, BPF_MAXINSNS. */
export const INSTRUCTIONS_MAX = 4096;
const JUMP_MAX = 255;
const INSTRUCTION_BYTES = 8;

const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP = 0x05; // BPF_JMP | BPF_JA
const RETURN = 0x06; // BPF_RET | BPF_K
const JUMP_IF = {
  equal: 0x15, // BPF_JMP | BPF_JEQ | BPF_K
  greaterOrEqual: 0x35, // BPF_JMP | BPF_JGE | BPF_K
  anyBit: 0x45, // BPF_JMP | BPF_JSET | BPF_K
} as const;

export type Condition = keyof typeof JUMP_IF;

/** A place in a program; null means "the next instruction". */
export type Label = string;

export type Instruction =
  | { op: "label"; name: Label }
  | { op: "load"; offset: number }
  | { op: "and"; value: number }
  | { op: "jump"; to: Label }
  | { op: "if"; condition: Condition; value: number; then: Label | null; else: Label | null }
  | { op: "return"; value: number };

/** Turns a program into the array of `struct sock_filter` that the kernel takes, little-endian. */
export function assemble(program: readonly Instruction[]): Uint8Array {
  const places = placeLabels(program);
  const instructions = program.filter((instruction) => instruction.op !== "label");
  if (instructions.length === 0 || instructions.length > INSTRUCTIONS_MAX) {
    throw new RangeError(
      `Cannot assemble ${instructions.length} instructions: ` +
        `the kernel takes 1 to ${INSTRUCTIONS_MAX}`,
    );
  }
  if (instructions.at(-1)?.op !== "return") {
    throw new RangeError("Cannot assemble a program that does not end with a return");
  }
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  instructions.forEach((instruction, at) => {
    const [code, ifTrue, ifFalse, value] = encode(instruction, at, places);
    view.setUint16(at * INSTRUCTION_BYTES, code, true);
    view.setUint8(at * INSTRUCTION_BYTES + 2, ifTrue);
    view.setUint8(at * INSTRUCTION_BYTES + 3, ifFalse);
    view.setUint32(at * INSTRUCTION_BYTES + 4, value >>> 0, true);
  });
  return bytes;
}

function placeLabels(program: readonly Instruction[]): Map<Label, number> {
  const places = new Map<Label, number>();
  let at = 0;
  for (const instruction of program) {
    if (instruction.op !== "label") at += 1;
    else if (places.has(instruction.name)) {
      throw new RangeError(`Cannot place the label ${instruction.name} twice`);
    } else places.set(instruction.name, at);
  }
  return places;
}

type Encoded = [code: number, ifTrue: number, ifFalse: number, value: number];

function encode(instruction: Instruction, at: number, places: Map<Label, number>): Encoded {
  switch (instruction.op) {
    case "load":
      return [LOAD_WORD, 0, 0, instruction.offset];
    case "and":
      return [AND, 0, 0, instruction.value];
    case "return":
      return [RETURN, 0, 0, instruction.value];
    case "jump":
      return [JUMP, 0, 0, distance(instruction.to, at, places)];
    case "if":
      return [
        JUMP_IF[instruction.condition],
        shortDistance(instruction.then, at, places),
        shortDistance(instruction.else, at, places),
        instruction.value,
      ];
    case "label":
      throw new RangeError("Cannot encode a label");
  }
}

function shortDistance(to: Label | null, at: number, places: Map<Label, number>): number {
  if (to === null) return 0;
  const jump = distance(to, at, places);
  if (jump > JUMP_MAX) {
    throw new RangeError(`Cannot jump ${jump} instructions to ${to}: the limit is ${JUMP_MAX}`);
  }
  return jump;
}

function distance(to: Label, at: number, places: Map<Label, number>): number {
  const place = places.get(to);
  if (place === undefined) throw new RangeError(`Cannot jump to ${to}: no such label`);
  if (place <= at) throw new RangeError(`Cannot jump back to ${to}: BPF only jumps forward`);
  return place - at - 1;
}
