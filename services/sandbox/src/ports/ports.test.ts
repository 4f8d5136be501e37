import assert from "node:assert/strict";
import { test } from "node:test";
import { Port_Access as Access } from "@syla/contract/syla/sandbox/v1/port";
import { createDrivenClock } from "@syla/kit/clock";
import { portsOf } from "./listening.ts";
import { ANY_PORT, Ports } from "./ports.ts";
import type { Sandbox } from "../sandbox.ts";

// No more is looked at than its id.
const parseSandbox = (value: unknown) => value as Sandbox;

function fixture() {
  const clock = createDrivenClock(1_000_000);
  const ports = new Ports(clock);
  const sandbox = parseSandbox({ message: { id: "one" } });
  const nothing = { port: 80, owner: false, token: "", ticket: "" };
  const admitted = (brought: Partial<typeof nothing>, at = sandbox) => {
    try {
      ports.admit(at, { ...nothing, ...brought });
      return true;
    } catch (error) {
      assert.equal(Reflect.get(Object(error), "code"), "unauthenticated");
      return false;
    }
  };
  return { ports, sandbox, clock, admitted };
}

test("a port lets in its owner alone until it is exposed, with a token or to everybody", () => {
  const { ports, sandbox, admitted } = fixture();
  assert.deepEqual([admitted({}), admitted({ owner: true })], [false, true]);
  ports.expose(sandbox, 80, Access.TOKEN);
  const { token } = ports.access(sandbox, 80);
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.deepEqual(
    [admitted({}), admitted({ token: "x" }), admitted({ token })],
    [false, false, true],
  );
  assert.equal(admitted({ token, port: 81 }), false);
  assert.equal(admitted({ token }, parseSandbox({ message: { id: "two" } })), false);
  ports.expose(sandbox, 80, Access.TOKEN);
  assert.equal(ports.access(sandbox, 80).token, token);
  ports.expose(sandbox, 80, Access.PUBLIC);
  assert.deepEqual([admitted({}), ports.access(sandbox, 80).token], [true, ""]);
  ports.expose(sandbox, 80, Access.PRIVATE);
  assert.deepEqual([admitted({}), admitted({ token })], [false, false]);
});

test("port 0 is every port that has no access of its own", () => {
  const { ports, sandbox, admitted } = fixture();
  ports.expose(sandbox, ANY_PORT, Access.PUBLIC);
  ports.expose(sandbox, 81, Access.PRIVATE);
  assert.deepEqual([admitted({}), admitted({ port: 81 })], [true, false]);
  assert.deepEqual(ports.exposed(sandbox), [ANY_PORT, 81]);
  ports.unexpose(sandbox, ANY_PORT);
  assert.equal(admitted({}), false);
});

test("a ticket lets in to one port until its time is over or the port's access is taken away", async () => {
  const { ports, sandbox, clock, admitted } = fixture();
  const { text: ticket, expiresMs } = ports.ticket(sandbox, 80, 5000);
  assert.equal(expiresMs, clock.now() + 5000);
  assert.equal(admitted({ ticket }), true);
  ports.ticket(sandbox, 81, 5000);
  assert.equal(admitted({ ticket, port: 81 }), false);
  const later = `${(expiresMs + 1).toString(36)}${ticket.slice(ticket.indexOf("."))}`;
  for (const forged of [later, `${ticket}A`, ticket.slice(0, -1), "", ".", "x"]) {
    assert.equal(admitted({ ticket: forged }), false, forged);
  }
  await clock.advance(5000);
  assert.equal(admitted({ ticket }), false);
  const { text: fresh } = ports.ticket(sandbox, 80, 5000);
  ports.unexpose(sandbox, 80);
  assert.equal(admitted({ ticket: fresh }), false);
});

test("a token is traded for a ticket, which ends with the token, also with that of every port", () => {
  const { ports, sandbox, admitted } = fixture();
  for (const port of [80, ANY_PORT]) {
    ports.expose(sandbox, port, Access.TOKEN);
    const { token } = ports.access(sandbox, port);
    const traded = ports.admit(sandbox, { port: 80, owner: false, token, ticket: "" });
    assert.ok(traded !== undefined);
    assert.equal(admitted({ ticket: traded.text }), true);
    ports.unexpose(sandbox, port);
    assert.equal(admitted({ ticket: traded.text }), false, String(port));
  }
});

test("portsOf() finds what listens where a connection to the loopback gets", () => {
  const line = (address: string, state: string) => `   0: ${address} 00000000:0000 ${state} 0 0`;
  const table = [
    "  sl  local_address rem_address   st",
    line("0100007F:1F40", "0A"),
    line("00000000:0050", "0A"),
    line("0100007F:1F41", "01"),
    line("0200000A:1F42", "0A"),
    line(`${"0".repeat(32)}:1F43`, "0A"),
    line(`${"0".repeat(24)}01000000:1F44`, "0A"),
    line("000080FE00000000000000000100000A:1F45", "0A"),
    "nonsense",
    "",
  ];
  assert.deepEqual(portsOf(table.join("\n")), [8000, 80, 8003, 8004]);
});
