import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { before, describe, test } from "node:test";
import { connect, type ConnectionOptions } from "node:tls";
import fc from "fast-check";
import { readClientHello } from "./client-hello.ts";

/** What Node's own TLS says first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const sent = Promise.withResolvers<Buffer>();
  const socket = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      sent.resolve(chunk);
      done();
    },
  });
  const secure = connect({ socket, ...options }).on("error", () => {});
  const hello = await sent.promise;
  secure.destroy();
  await once(secure, "close");
  return hello;
}

/** A message in one record, with these extensions. */
function message(extensions: readonly (readonly [number, Buffer])[]): Buffer {
  const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
  const block = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes]);
  const all = Buffer.concat(
    extensions.map(([type, content]) => Buffer.concat([u16(type), block(content)])),
  );
  const body = Buffer.concat([
    ...[u16(0x0303), Buffer.alloc(32), Buffer.from([0]), block(u16(0x1301)), Buffer.from([1, 0])],
    block(all),
  ]);
  const head = Buffer.from([1, 0, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([22, 3, 1]), block(Buffer.concat([head, body]))]);
}

function names(...list: readonly (readonly [number, string])[]): Buffer {
  const entries = list.map(([kind, name]) => {
    return Buffer.concat([
      Buffer.from([kind, name.length >> 8, name.length & 0xff]),
      Buffer.from(name, "latin1"),
    ]);
  });
  const all = Buffer.concat(entries);
  return Buffer.concat([Buffer.from([all.length >> 8, all.length & 0xff]), all]);
}

let hello: Buffer;
before(async () => {
  hello = await helloOf({ servername: "www.example.com", ALPNProtocols: ["h2", "http/1.1"] });
});

describe("readClientHello()", () => {
  test("reads the name that a client asks for, and that it asks for none", async () => {
    assert.deepEqual(readClientHello(hello), {
      ...{ kind: "complete", serverName: "www.example.com", encrypted: false },
    });
    const nameless = readClientHello(await helloOf({ servername: "" }));
    assert.equal(nameless.kind === "complete" && nameless.serverName, undefined);
    assert.equal(readClientHello(Buffer.concat([hello, hello])).kind, "complete");
  });

  test("waits for all of it, at each byte, and never for more than it says", () => {
    for (let end = 0; end < hello.length; end += 1) {
      const read = readClientHello(hello.subarray(0, end));
      assert.ok(read.kind === "incomplete", `${end} ${read.kind}`);
      assert.ok(read.bytesMin > end && read.bytesMin <= hello.length);
    }
  });

  test("reads one that is in several records, not one that is in very many", () => {
    const split = (pieceBytes: number) => {
      const body = hello.subarray(5);
      const records: Buffer[] = [];
      for (let at = 0; at < body.length; at += pieceBytes) {
        const piece = body.subarray(at, at + pieceBytes);
        records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 0xff]), piece);
      }
      return Buffer.concat(records);
    };
    const inTwo = split(Math.ceil((hello.length - 5) / 2));
    assert.deepEqual(readClientHello(inTwo), readClientHello(hello));
    for (let end = 0; end < inTwo.length; end += 1) {
      assert.equal(readClientHello(inTwo.subarray(0, end)).kind, "incomplete");
    }
    assert.deepEqual(readClientHello(split(1)), { kind: "malformed" });
  });

  test("says when a name may be hidden", () => {
    for (const type of [0xfe0d, 0xffce]) {
      const read = readClientHello(
        message([
          [0, names([0, "a.test"])],
          [type, Buffer.alloc(9)],
        ]),
      );
      assert.deepEqual(read, { kind: "complete", serverName: "a.test", encrypted: true });
    }
  });

  test("takes nothing that could be read in two ways", () => {
    const good = [0, names([0, "a.test"])] as const;
    assert.equal(readClientHello(message([good])).kind, "complete");
    for (const wrong of [
      message([good, good]),
      message([[0, names([0, "a.test"], [0, "b.test"])]]),
      message([[0, names([1, "a.test"])]]),
      message([[0, names([0, ""])]]),
      message([[0, Buffer.alloc(0)]]),
      message([[0, Buffer.concat([names([0, "a.test"]), Buffer.alloc(1)])]]),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.from([22, 2, 0, 0, 5, 1, 0, 0, 1, 0]),
      Buffer.from([22, 3, 1, 0, 0]),
      Buffer.from([22, 3, 1, 0xff, 0xff]),
      Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]),
      Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0, 0]),
    ]) {
      assert.deepEqual(readClientHello(wrong), { kind: "malformed" });
    }
  });

  test("answers to any bytes, also where one of a good one is another", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        readClientHello(Buffer.from(bytes));
        readClientHello(Buffer.concat([Buffer.from([22, 3, 1, 2, 0, 1]), Buffer.from(bytes)]));
      }),
    );
    fc.assert(
      fc.property(
        fc.nat({ max: hello.length - 1 }),
        fc.integer({ min: 0, max: 255 }),
        (at, byte) => {
          const changed = Buffer.from(hello);
          changed[at] = byte;
          const read = readClientHello(changed);
          if (read.kind === "incomplete") assert.ok(read.bytesMin > changed.length);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
