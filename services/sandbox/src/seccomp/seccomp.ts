/**
 * The seccomp filter of a jail: an allow-list, compiled from the table of system calls.
 *
 * The program checks the architecture, then finds the call's number by binary search over ranges
 * of equal verdict (about eight comparisons), and reads arguments only for the calls whose
 * arguments decide. That order is also what makes it free: since 5.11 the kernel runs a filter
 * once per number, sees that an allowed call never looks at arguments, and skips the filter for it
 * from then on.
 */

import { assemble } from "./bpf.ts";
import type { Instruction, Label } from "./bpf.ts";
import { ERRNO, allow } from "./decision.ts";
import type { ArgTest, Decision, Syscall, Verdict } from "./decision.ts";
import { type Layer, inLayer } from "./layers.ts";
import { SYSCALLS } from "./syscalls.ts";

export type Architecture = "x64" | "arm64";

const AUDIT_ARCH = { x64: 0xc000_003e, arm64: 0xc000_00b7 } as const;
const X32_BIT = 0x4000_0000;

/** Offsets in `struct seccomp_data`; both architectures are little-endian. */
const NUMBER_OFFSET = 0;
const ARCHITECTURE_OFFSET = 4;
const ARGUMENTS_OFFSET = 16;
const ARGUMENT_BYTES = 8;

const RET_KILL_PROCESS = 0x8000_0000;
const RET_ERRNO = 0x0005_0000;
const RET_ALLOW = 0x7fff_0000;

const ABSENT: Decision = { kind: "errno", errno: "ENOSYS" };

export interface SeccompOptions {
  /** Default that of this process. */
  readonly arch?: Architecture;
  /** Default "both": all that the table says in one. */
  readonly layer?: Layer | "both";
}

/** The two layers of the filter, for jails: see layers.ts. */
export interface SeccompFilter {
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

export function seccompFilter(): SeccompFilter {
  return { first: seccompProgram({ layer: "first" }), second: seccompProgram({ layer: "second" }) };
}

/** A filter as raw `struct sock_filter[]`. */
export function seccompProgram(options: SeccompOptions = {}): Uint8Array {
  const { arch = hostArchitecture(), layer = "both" } = options;
  return assemble([
    { op: "load", offset: ARCHITECTURE_OFFSET },
    { op: "if", condition: "equal", value: AUDIT_ARCH[arch], then: "native", else: null },
    { op: "return", value: RET_KILL_PROCESS },
    { op: "label", name: "native" },
    { op: "load", offset: NUMBER_OFFSET },
    ...refuseX32(arch),
    ...searchNumber(decisionsOf(arch, layer), layer === "second" ? allow : ABSENT),
  ]);
}

function hostArchitecture(): Architecture {
  const { arch } = process;
  if (arch === "x64" || arch === "arm64") return arch;
  throw new Error(`Cannot make a seccomp filter for ${arch}: only x64 and arm64 are known`);
}

/** x32 calls carry the architecture of x64 but other numbers, past every rule made for x64. */
function refuseX32(arch: Architecture): Instruction[] {
  if (arch !== "x64") return [];
  return [
    { op: "if", condition: "greaterOrEqual", value: X32_BIT, then: null, else: "x64" },
    { op: "return", value: RET_KILL_PROCESS },
    { op: "label", name: "x64" },
  ];
}

/** A run of numbers, up to the next range's `first`, that end at the same leaf. */
interface Range {
  first: number;
  leaf: Instruction;
}

function decisionsOf(arch: Architecture, layer: Layer | "both"): Map<number, Decision> {
  const calls = [...callsOf(arch)];
  return new Map(calls.map(([number, call]) => [number, inLayer(call, layer)]));
}

function searchNumber(calls: ReadonlyMap<number, Decision>, absent: Decision): Instruction[] {
  const conditional = new Map<Decision, Label>();
  for (const [number, decision] of calls) {
    if (decision.kind === "when" && !conditional.has(decision)) {
      conditional.set(decision, `call ${number}`);
    }
  }
  const ranges: Range[] = [];
  for (let number = 0; number <= Math.max(...calls.keys()) + 1; number += 1) {
    const leaf = leafOf(calls.get(number) ?? absent, conditional);
    if (!sameLeaf(ranges.at(-1)?.leaf, leaf)) ranges.push({ first: number, leaf });
  }
  const blocks = [...conditional].flatMap(([decision, label]) => block(decision, label));
  return [...tree(ranges), ...blocks];
}

/** The calls of one architecture by number. */
export function callsOf(arch: Architecture): Map<number, Syscall> {
  const calls = new Map<number, Syscall>();
  for (const call of SYSCALLS) {
    const number = call[arch];
    if (number === null) continue;
    const other = calls.get(number);
    if (other !== undefined) {
      throw new Error(
        `Cannot decide ${arch} call ${number}: ${other.name} and ${call.name} have it`,
      );
    }
    calls.set(number, call);
  }
  return calls;
}

function leafOf(decision: Decision, conditional: Map<Decision, Label>): Instruction {
  if (decision.kind !== "when") return { op: "return", value: returnValue(decision) };
  return { op: "jump", to: conditional.get(decision) ?? "" };
}

function sameLeaf(one: Instruction | undefined, other: Instruction): boolean {
  if (one?.op === "return" && other.op === "return") return one.value === other.value;
  return one?.op === "jump" && other.op === "jump" && one.to === other.to;
}

/** Halves the ranges until one is left; every leaf is one instruction, so that jumps stay short. */
function tree(ranges: readonly Range[]): Instruction[] {
  const [only] = ranges;
  if (only !== undefined && ranges.length === 1) return [only.leaf];
  const middle = ranges.length >> 1;
  const upper = ranges[middle];
  if (upper === undefined) throw new Error("Cannot search no ranges");
  const label = `from ${upper.first}`;
  return [
    { op: "if", condition: "greaterOrEqual", value: upper.first, then: label, else: null },
    ...tree(ranges.slice(0, middle)),
    { op: "label", name: label },
    ...tree(ranges.slice(middle)),
  ];
}

/** The rules of a conditional call, tried in order. */
function block(decision: Decision, label: Label): Instruction[] {
  if (decision.kind !== "when") return [];
  const rules = decision.rules.flatMap((rule, index) => {
    const next = `${label}: not rule ${index}`;
    return [
      ...rule.if.flatMap((test, at) => question(test, `${label}: ${index}.${at} holds`, next)),
      { op: "return", value: returnValue(rule.then) },
      { op: "label", name: next },
    ] satisfies Instruction[];
  });
  return [
    { op: "label", name: label },
    ...rules,
    { op: "return", value: returnValue(decision.otherwise) },
  ];
}

/** Falls through where the test holds, and jumps to `otherwise` where it does not. */
function question(test: ArgTest, holds: Label, otherwise: Label): Instruction[] {
  const half = "high" in test ? ARGUMENT_BYTES / 2 : 0;
  const load = { op: "load", offset: ARGUMENTS_OFFSET + test.arg * ARGUMENT_BYTES + half } as const;
  if ("any" in test) {
    return [load, { op: "if", condition: "anyBit", value: test.any, then: null, else: otherwise }];
  }
  const mask: Instruction[] = test.mask === undefined ? [] : [{ op: "and", value: test.mask }];
  const values: Instruction[] = test.in.map((value, index) => ({
    op: "if",
    condition: "equal",
    value,
    then: holds,
    else: index === test.in.length - 1 ? otherwise : null,
  }));
  return [load, ...mask, ...values, { op: "label", name: holds }];
}

/** What the kernel is told for a verdict. */
export function returnValue(verdict: Verdict): number {
  switch (verdict.kind) {
    case "allow":
      return RET_ALLOW;
    case "pretend":
      return RET_ERRNO;
    case "errno":
      return RET_ERRNO | ERRNO[verdict.errno];
  }
}
