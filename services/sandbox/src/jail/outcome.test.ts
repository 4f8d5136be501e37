/** The order in which reasons win over each other. */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { JailUsage, ProgramEnd } from "./frames.ts";
import { type OutcomeInput, outcomeOf } from "./outcome.ts";

const end = (more: Partial<ProgramEnd> = {}): ProgramEnd => ({
  kind: "exited",
  code: 0,
  reason: "none",
  stage: "none",
  wallUs: 1,
  userUs: 1,
  systemUs: 1,
  residentBytes: 1,
  ...more,
});
const usage = (more: Partial<JailUsage> = {}): JailUsage => ({
  diskBytes: 0,
  diskBytesMax: 1,
  inodes: 0,
  inodesMax: 1,
  diskFull: false,
  inodesFull: false,
  networkBytes: 0,
  ...more,
});
const quiet = { oomKills: 0, pidsMaxHits: 0 };

const typeOf = (input: Partial<OutcomeInput>): string => {
  const outcome = outcomeOf({ cgroup: quiet, ...input });
  return outcome.success ? "success" : outcome.errorType;
};

const killed = end({ kind: "signalled", code: 9 });

it("outcomeOf() calls only exit code 0 a success, and that whatever limit was touched", () => {
  assert.equal(typeOf({ end: end() }), "success");
  const touched = { cgroup: { oomKills: 1, pidsMaxHits: 5 }, usage: usage({ diskFull: true }) };
  assert.equal(typeOf({ end: end(), ...touched }), "success");
  assert.equal(typeOf({ end: end({ code: 1 }) }), "exit_code");
  assert.equal(typeOf({ end: end({ kind: "signalled", code: 11 }) }), "signal");
});

it("outcomeOf() names first what ended the program, then the limit it met, then its own end", () => {
  const everything = { cgroup: { oomKills: 1, pidsMaxHits: 1 }, usage: usage({ diskFull: true }) };
  assert.equal(typeOf({ end: killed, cause: "cancelled", ...everything }), "cancelled");
  assert.equal(typeOf({ end: { ...killed, reason: "timeout" }, ...everything }), "timeout");
  assert.equal(typeOf({ end: { ...killed, reason: "stderr" }, ...everything }), "output");
  assert.equal(typeOf({ end: killed, cause: "cpu_time", ...everything }), "cpu_time");
  assert.equal(typeOf({ end: killed, ...everything }), "memory");
  const noMemory = { ...everything, cgroup: { oomKills: 0, pidsMaxHits: 1 } };
  assert.equal(typeOf({ end: killed, ...noMemory }), "pids");
  assert.equal(typeOf({ end: killed, ...noMemory, cgroup: quiet }), "disk");
  assert.equal(typeOf({ end: end({ code: 1 }), usage: usage({ inodesFull: true }) }), "disk");
});

it("outcomeOf() reads the signals that limits send", () => {
  assert.equal(typeOf({ end: end({ kind: "signalled", code: 24 }) }), "cpu_time");
  assert.equal(typeOf({ end: end({ kind: "signalled", code: 25 }) }), "disk");
});

it("outcomeOf() calls a failed build compile, unless a limit ended it", () => {
  assert.equal(typeOf({ end: end({ code: 1 }), compile: true }), "compile");
  assert.equal(typeOf({ end: { ...killed, reason: "timeout" }, compile: true }), "timeout");
});

it("outcomeOf() calls a jail that died memory if the kernel says so, else internal", () => {
  const oom = { oomKills: 1, pidsMaxHits: 0 };
  assert.equal(typeOf({ cause: "internal", cgroup: oom }), "memory");
  assert.equal(typeOf({ cause: "internal" }), "internal");
  assert.equal(typeOf({ cause: "lost" }), "lost");
});
