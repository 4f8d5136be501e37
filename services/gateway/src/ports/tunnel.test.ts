import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  AdmitResponseSchema,
  TunnelOutputSchema,
  TunnelService,
} from "@syla/contract/syla/sandbox/v1/tunnel";
import { CallContext } from "@syla/kit/call";
import { createDispatcher, type Dispatcher, implement } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { connectGrpc } from "@syla/kit/grpc-client";
import { startGrpcServer } from "@syla/kit/grpc-server";
import { validation } from "@syla/kit/validate";
import { openTunnel } from "./tunnel.ts";

const sandbox = "0197a2c4-7b1e-7c3d-9a53-2f6d1c0b8e47";
const idleMs = 60_000;
const opened = () => create(TunnelOutputSchema, { message: { case: "opened", value: {} } });
const bytes = (value: Uint8Array) =>
  create(TunnelOutputSchema, { message: { case: "data", value } });

/** What the far side did. */
const log = { sent: 0, ended: 0 };
const flood = 1;
const closed = 2;
const echo = 3;

// A far side that echoes, floods or refuses, by its port.
const served = createDispatcher(
  [
    implement(TunnelService, {
      admit: async () => create(AdmitResponseSchema),
      connect: async function* (requests, context) {
        const inputs = requests[Symbol.asyncIterator]();
        const first = await inputs.next();
        const message = first.done === true ? undefined : first.value.message;
        assert.ok(message?.case === "open");
        const { port } = message.value;
        if (port === closed) throw new SylaError("port_closed", "Nothing listens there.");
        try {
          yield opened();
          while (port === flood && context.aborted === undefined) {
            log.sent += 65_536;
            yield bytes(Buffer.alloc(65_536));
          }
          for (let next = await inputs.next(); next.done !== true; next = await inputs.next()) {
            if (next.value.message.case === "data") yield bytes(next.value.message.value);
          }
        } finally {
          log.ended += 1;
        }
      },
    }),
  ],
  [validation()],
);

async function overGrpc(): Promise<Dispatcher> {
  const server = await startGrpcServer(served, { port: 0 });
  const connection = connectGrpc([TunnelService], { address: server.address ?? "" });
  after(() => {
    connection.close();
    server.close();
  });
  return connection;
}

const places = [
  ["in this process", async () => served],
  ["in another process", overGrpc],
] as const;

for (const [place, connect] of places) {
  describe(`a tunnel to a sandbox ${place}`, () => {
    const open = async (port: number, more: { idleMs?: number; parent?: CallContext } = {}) => {
      const target = { sandbox, port };
      return openTunnel({
        ...{ dispatcher: await connect(), target, parent: new CallContext(), idleMs },
        ...more,
      });
    };

    test("carries bytes both ways, and each side's end", async () => {
      const tunnel = await open(echo);
      const sent = Buffer.alloc(3_000_000, "abcdefg");
      tunnel.end(sent);
      const parts: Buffer[] = [];
      for await (const part of tunnel) parts.push(Buffer.from(part));
      assert.ok(Buffer.concat(parts).equals(sent));
    });

    test("that is refused throws why", async () => {
      await assert.rejects(open(closed), { code: "port_closed" });
    });

    test("that nobody reads holds the far side up, and tells it of its end", async () => {
      const { ended } = log;
      log.sent = 0;
      const tunnel = await open(flood);
      tunnel.read(1);
      let before = -1;
      while (before !== log.sent || log.sent === 0) {
        before = log.sent;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.ok(before < 8 * 1024 ** 2, `${before} bytes were taken`);
      tunnel.destroy();
      while (log.ended === ended) await new Promise((resolve) => setTimeout(resolve, 5));
    });

    test("ends with the call that it is for, and when it has carried nothing for too long", async () => {
      const parent = new CallContext();
      const tunnel = await open(echo, { parent });
      tunnel.resume();
      parent.abort(new SylaError("cancelled", "The visitor left."));
      const [left] = await once(tunnel, "error");
      assert.equal(Reflect.get(Object(left), "code"), "cancelled");
      const idle = await open(echo, { idleMs: 50 });
      const [late] = await once(idle, "error");
      assert.equal(Reflect.get(Object(late), "code"), "deadline_exceeded");
    });
  });
}
