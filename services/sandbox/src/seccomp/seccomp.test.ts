import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

import fc from "fast-check";

import { decide } from "./decision.ts";
import type { Decision, Verdict } from "./decision.ts";
import { callsOf, returnValue, seccompProgram } from "./seccomp.ts";
import type { Architecture } from "./seccomp.ts";
import { SYSCALLS } from "./syscalls.ts";

const ARCHITECTURES: readonly Architecture[] = ["x64", "arm64"];
const AUDIT = { x64: 0xc000_003e, arm64: 0xc000_00b7, i386: 0x4000_0003, arm: 0x4000_0028 };
const KILL = 0x8000_0000;
const ENOSYS = 0x0005_0026;
const ALLOW: Verdict = { kind: "allow" };
const EPERM: Verdict = { kind: "errno", errno: "EPERM" };

interface Call {
  audit: number;
  number: number;
  args?: readonly bigint[];
}

interface Outcome {
  value: number;
  steps: number;
  readArguments: boolean;
}

/** Runs a filter as the kernel would, one instruction at a time. */
function interpret(filter: Uint8Array, call: Call): Outcome {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number >>> 0, true);
  data.setUint32(4, call.audit, true);
  call.args?.forEach((arg, index) => data.setBigUint64(16 + index * 8, arg, true));
  const program = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  let accumulator = 0;
  let readArguments = false;
  for (let at = 0, steps = 1; ; at += 1, steps += 1) {
    const code = program.getUint16(at * 8, true);
    const value = program.getUint32(at * 8 + 4, true);
    const jump = (holds: boolean) => program.getUint8(at * 8 + (holds ? 2 : 3));
    if (code === 0x06) return { value, steps, readArguments };
    else if (code === 0x20) {
      accumulator = data.getUint32(value, true);
      readArguments ||= value >= 16;
    } else if (code === 0x54) accumulator = (accumulator & value) >>> 0;
    else if (code === 0x05) at += value;
    else if (code === 0x15) at += jump(accumulator === value);
    else if (code === 0x35) at += jump(accumulator >= value);
    else if (code === 0x45) at += jump((accumulator & value) !== 0);
    else throw new Error(`Cannot interpret code ${code} at ${at}`);
  }
}

/** The number that decides, and its neighbours: where an off-by-one or a lost mask would show. */
function edges(decision: Decision): bigint[] {
  if (decision.kind !== "when") return [0n];
  const values = decision.rules
    .flatMap((rule) => rule.if)
    .flatMap((question) => ("any" in question ? [question.any] : question.in))
    .flatMap((value) => [value, value + 1, value - 1, ~value, value | 0x4000_0000, value | 0x80000])
    .flatMap((value) => Array.from({ length: 2 }, (_, high) => [value, high] as const))
    .map(([value, high]) => (BigInt(high) << 32n) | BigInt(value >>> 0));
  return [...new Set([0n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn, ...values])];
}

function check(arch: Architecture, name: string, args: readonly bigint[], expected: Verdict): void {
  const number = SYSCALLS.find((call) => call.name === name)?.[arch];
  if (number === null) return;
  assert.ok(number !== undefined, `${name} is in the table`);
  const { value } = interpret(seccompProgram({ arch }), { audit: AUDIT[arch], number, args });
  assert.equal(value, returnValue(expected), `${arch} ${name}(${args.join(", ")})`);
}

for (const arch of ARCHITECTURES) {
  const filter = seccompProgram({ arch });

  test(`seccompProgram(${arch}) gives every call the verdict that the table says`, () => {
    for (const [number, { name, decision }] of callsOf(arch)) {
      const argument = fc.constantFrom(...edges(decision));
      const argumentLists = fc.array(argument, { minLength: 6, maxLength: 6 });
      fc.assert(
        fc.property(argumentLists, (args) => {
          const { value } = interpret(filter, { audit: AUDIT[arch], number, args });
          assert.equal(value, returnValue(decide(decision, args)), `${name}(${args.join(", ")})`);
        }),
        { numRuns: decision.kind === "when" ? 300 : 2 },
      );
    }
  });

  test(`seccompProgram(${arch}) allows no number outside the table`, () => {
    const known = callsOf(arch);
    const refuse = (number: number) => {
      const { value } = interpret(filter, { audit: AUDIT[arch], number });
      const x32 = arch === "x64" && number >= 0x4000_0000;
      assert.equal(value, x32 ? KILL : ENOSYS, `number ${number}`);
    };
    for (let number = 0; number < 5000; number += 1) if (!known.has(number)) refuse(number);
    const outside = fc.integer({ min: 0, max: 0xffff_ffff }).filter((number) => !known.has(number));
    fc.assert(fc.property(outside, refuse), { numRuns: 20_000 });
  });

  test(`seccompProgram(${arch}) kills calls of every other architecture`, () => {
    const foreign = fc
      .integer({ min: 0, max: 0xffff_ffff })
      .filter((audit) => audit !== AUDIT[arch]);
    const others = Object.values(AUDIT).filter((audit) => audit !== AUDIT[arch]);
    fc.assert(
      fc.property(fc.oneof(foreign, fc.constantFrom(...others)), fc.nat(500), (audit, number) => {
        assert.equal(interpret(filter, { audit, number }).value, KILL);
      }),
    );
  });

  test(`seccompProgram(${arch}) reads arguments only where they decide, within 16 steps`, () => {
    // The kernel remembers "always allowed" only for calls whose path reads no argument.
    for (const [number, { name, decision }] of callsOf(arch)) {
      const outcome = interpret(filter, { audit: AUDIT[arch], number });
      assert.equal(outcome.readArguments, decision.kind === "when", name);
      if (decision.kind !== "when") assert.ok(outcome.steps <= 16, `${name}: ${outcome.steps}`);
    }
  });

  // The table and the compiler could agree and both be wrong; these are written by hand.
  test(`seccompProgram(${arch}) closes the known ways out`, () => {
    const denied: [name: string, ...args: bigint[]][] = [
      ["unshare", 0x1000_0000n],
      ["setns", 3n],
      ["mount"],
      ["umount2"],
      ["pivot_root"],
      ["chroot"],
      ["move_mount"],
      ["fsopen"],
      ["open_tree"],
      ["clone", 0x1000_0011n],
      ["clone", 0x0002_0011n],
      ["clone", 0x4000_0011n],
      ["clone", 0xffff_ffff_1000_0011n],
      ["ptrace", 0n],
      ["process_vm_readv"],
      ["process_vm_writev"],
      ["pidfd_getfd"],
      ["bpf"],
      ["perf_event_open"],
      ["userfaultfd"],
      ["keyctl"],
      ["open_by_handle_at"],
      ["kexec_load"],
      ["reboot"],
      ["finit_module"],
      ["personality", 0x4_0000n],
      ["prctl", 22n],
      ["prctl", 35n],
      ["prctl", 0xffff_ffff_0000_0016n],
      ["prlimit64", 1n],
      ["ioctl", 0n, 0x5412n],
      ["ioctl", 0n, 0xdead_beef_0000_5412n],
      ["ioctl", 0n, 0x541cn],
      ["ioctl", 0n, 0x5423n],
      ["chmod", 0n, 0o4755n],
      ["fchmod", 0n, 0o2755n],
      ["fchmodat", 0n, 0n, 0o4755n],
      ["fchmodat2", 0n, 0n, 0o4755n],
      ["open", 0n, 0o101n, 0o4755n],
      ["openat", 0n, 0n, 0o101n, 0o4755n],
      ["mknod", 0n, 0o020666n],
      ["mknodat", 0n, 0n, 0o060666n],
      ["sched_setscheduler", 0n, 1n],
      ["sched_setscheduler", 0n, 0x4000_0002n],
      ["setuid", 0n],
      ["setresuid", 1000n, 0n, 1000n],
      ["seccomp", 1n],
    ];
    for (const [name, ...args] of denied) check(arch, name, args, EPERM);
  });

  test(`seccompProgram(${arch}) lets programs do what programs do`, () => {
    const allowed: [name: string, ...args: bigint[]][] = [
      ["read"],
      ["write"],
      ["execve"],
      ["exit_group"],
      ["clone", 0x3d_0f00n], // a thread, as pthread_create makes it
      ["clone", 0x0120_0011n], // a process, as fork makes it
      ["clone", 0x4111n], // vfork, as posix_spawn makes it
      ["wait4"],
      ["pidfd_open"],
      ["setsid"],
      ["prlimit64", 0n, 7n],
      ["prlimit64", 0n, 7n, 0x7fff_0000_1000n],
      ["prlimit64", 0n, 4n, 0n, 0x7fff_0000_1000n], // asks only
      ["setrlimit", 7n],
      ["setsockopt", 3n, 0n, 32n], // IP_MULTICAST_IF
      ["setsockopt", 3n, 6n, 42n],
      ["prctl", 15n],
      ["prctl", 38n],
      ["prctl", 0x5356_4d41n],
      ["ioctl", 1n, 0x5401n],
      ["ioctl", 1n, 0x5413n],
      ["ioctl", 1n, 0x5421n],
      ["socket", 1n, 0x8_0001n, 0n],
      ["socket", 2n, 0x8_0801n, 6n],
      ["socket", 10n, 2n, 17n],
      ["mmap", 0n, 4096n, 3n, 0x22n],
      ["openat", 0n, 0n, 0n, 0o7777n], // without O_CREAT the mode is not read
      ["openat", 0n, 0n, 0o101n, 0o666n],
      ["chmod", 0n, 0o1777n],
      ["mknodat", 0n, 0n, 0o010644n],
      ["setuid", 1000n],
      ["setresgid", 0xffff_ffffn, 1000n, 1000n],
      ["sched_setscheduler", 0n, 3n],
      ["sched_setscheduler", 0n, 0x4000_0000n], // SCHED_OTHER | SCHED_RESET_ON_FORK
      ["memfd_create", 0n, 3n],
      ["landlock_restrict_self"],
    ];
    for (const [name, ...args] of allowed) check(arch, name, args, ALLOW);
  });

  test(`seccompProgram(${arch}) answers as a kernel without the feature would`, () => {
    check(arch, "clone3", [], { kind: "errno", errno: "ENOSYS" });
    check(arch, "io_uring_setup", [], { kind: "errno", errno: "ENOSYS" });
    check(arch, "sync", [], { kind: "pretend" });
    check(arch, "mmap", [0n, 0n, 3n, 0x4_0022n], { kind: "errno", errno: "ENOMEM" });
    check(arch, "madvise", [0n, 0n, 12n], { kind: "errno", errno: "EINVAL" });
    check(arch, "renameat2", [3n, 0n, 3n, 0n, 4n], { kind: "errno", errno: "EINVAL" });
    check(arch, "renameat2", [3n, 0n, 3n, 0n, 1n], ALLOW);
    for (const family of [16n, 17n, 38n, 40n, 44n, 29n, 31n]) {
      check(arch, "socket", [family, 3n, 0n], { kind: "errno", errno: "EAFNOSUPPORT" });
    }
    check(arch, "socket", [2n, 3n, 1n], { kind: "errno", errno: "ESOCKTNOSUPPORT" });
    check(arch, "socket", [2n, 1n, 262n], { kind: "errno", errno: "EPROTONOSUPPORT" });
    check(arch, "setsockopt", [3n, 0n, 35n], { kind: "errno", errno: "ENODEV" });
    check(arch, "setsockopt", [3n, 41n, 20n], { kind: "errno", errno: "ENODEV" });
    check(arch, "setrlimit", [4n], { kind: "pretend" });
    // A pointer may have nothing but zeros in either half.
    for (const limits of [0x7fff_0000_0000n, 0x1000n]) {
      check(arch, "prlimit64", [0n, 4n, limits], { kind: "pretend" });
    }
    check(arch, "setsockopt", [3n, 1n, 26n], { kind: "errno", errno: "ENOPROTOOPT" });
    check(arch, "setsockopt", [3n, 0n, 21n], { kind: "errno", errno: "ENOPROTOOPT" });
    check(arch, "setsockopt", [3n, 6n, 14n], { kind: "errno", errno: "ENOPROTOOPT" });
    check(arch, "setsockopt", [3n, 1n, 62n], { kind: "errno", errno: "EPERM" });
  });
}

test("seccompProgram(x64) kills x32 calls, which share the architecture of x64", () => {
  const filter = seccompProgram({ arch: "x64" });
  for (const number of [0, 59, 520, 0x3fff_ffff]) {
    const call = { audit: AUDIT.x64, number: number + 0x4000_0000 };
    assert.equal(interpret(filter, call).value, KILL);
  }
});

test("the table names each call once and gives each a reason", () => {
  const names = SYSCALLS.map((call) => call.name);
  assert.equal(new Set(names).size, names.length);
  for (const call of SYSCALLS) {
    assert.ok(call.why.length >= 8, `${call.name} has a reason`);
    assert.ok(call.x64 !== null || call.arm64 !== null, `${call.name} has a number`);
  }
});

const X64_HEADERS = [
  "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
  "/usr/include/asm/unistd_64.h",
  "/usr/x86_64-linux-gnu/include/asm/unistd_64.h",
].filter((path) => existsSync(path));

test("every call in the kernel's x64 headers is decided, under the kernel's number", (t) => {
  if (X64_HEADERS[0] === undefined) return t.skip("no kernel headers on this host");
  const header = readFileSync(X64_HEADERS[0], "utf8");
  const theirs = [...header.matchAll(/^#define __NR_(\w+) (\d+)$/gm)];
  assert.ok(theirs.length > 300, `${theirs.length} calls read`);
  compare(t, "x64", theirs);
});

const GENERIC_HEADERS = ["/usr/include/asm-generic/unistd.h"].filter((path) => existsSync(path));

const clock32 = (digits = "") => Number(digits) >= 403 && Number(digits) <= 423;

test("every call in the kernel's generic headers, which arm64 uses, is decided", (t) => {
  if (GENERIC_HEADERS[0] === undefined) return t.skip("no kernel headers on this host");
  const header = readFileSync(GENERIC_HEADERS[0], "utf8");
  // 244 to 259 belong to each architecture, and arm64 has none there; 403 to 423 are the 64-bit
  // clocks of 32-bit architectures.
  const theirs = [...header.matchAll(/^#define __NR(?:3264)?_(\w+) (\d+)$/gm)].filter(
    ([, name, digits]) =>
      name !== "arch_specific_syscall" && name !== "syscalls" && !clock32(digits),
  );
  assert.ok(theirs.length > 300, `${theirs.length} calls read`);
  compare(t, "arm64", theirs);
});

/** A kernel newer than the table may have more calls; they are answered with ENOSYS. */
function compare(t: test.TestContext, arch: Architecture, theirs: RegExpExecArray[]): void {
  const ours = callsOf(arch);
  const last = Math.max(...ours.keys());
  const aliases: Record<string, string> = {
    fstatat: "newfstatat",
    sync_file_range2: "sync_file_range",
  };
  for (const [, name = "", digits = ""] of theirs) {
    const number = Number(digits);
    const our = ours.get(number)?.name;
    if (number > last) t.diagnostic(`${name} (${number}) is newer than the table: ENOSYS`);
    else assert.equal(our, aliases[name] ?? name, `${arch} call ${number}`);
  }
}

for (const arch of ARCHITECTURES) {
  test(`the two layers for ${arch} decide together as the table does`, () => {
    const first = seccompProgram({ arch, layer: "first" });
    const second = seccompProgram({ arch, layer: "second" });
    /** What the kernel makes of several filters: the strictest, and of equals that which was put on last. */
    const stricter = (one: number, other: number) => {
      const order = (value: number) => (value & 0xffff_0000) >> 0;
      return order(other) <= order(one) ? other : one;
    };
    const together = (call: Call) =>
      stricter(interpret(first, call).value, interpret(second, call).value);
    for (const [number, { name, decision }] of callsOf(arch)) {
      const values = [...edges(decision), 0x8914n, 22n, 24n, 47n, 0x1_0000_0016n];
      const argument = fc.constantFrom(...values);
      const argumentLists = fc.array(argument, { minLength: 6, maxLength: 6 });
      fc.assert(
        fc.property(argumentLists, (args) => {
          const value = together({ audit: AUDIT[arch], number, args });
          assert.equal(value, returnValue(decide(decision, args)), `${name}(${args.join(", ")})`);
        }),
        { numRuns: 300 },
      );
    }
    assert.equal(together({ audit: AUDIT[arch], number: 4999 }), ENOSYS);
    assert.equal(together({ audit: AUDIT.i386, number: 1 }), KILL);
    assert.ok(second.length * 5 < first.length, `${second.length} of ${first.length} bytes`);
  });
}
