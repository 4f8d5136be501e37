import assert from "node:assert/strict";
import { mock, test } from "node:test";
import zlib, { deflateRawSync } from "node:zlib";
import { readArchive } from "./archive.ts";

interface Member {
  readonly name: string;
  readonly content: Buffer;
  /** What the archive says that it has, if that is not true. */
  readonly says?: number;
  readonly mode?: number;
  readonly flags?: number;
}

/** An archive of members as they are, however wrong (PKWARE's APPNOTE, 4.3). */
function zip(members: readonly Member[]): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, content, says, mode = 0o100_644, flags = 0 } of members) {
    const packed = deflateRawSync(content);
    const bytes = Buffer.from(name);
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    head.writeUInt16LE(flags, 2);
    head.writeUInt16LE(8, 4);
    head.writeUInt32LE(packed.length, 14);
    head.writeUInt32LE(says ?? content.length, 18);
    head.writeUInt16LE(bytes.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(mode * 2 ** 16, 6);
    rest.writeUInt32LE(offset, 10);
    local.push(Buffer.from("PK\x03\x04"), head, bytes, packed);
    central.push(Buffer.from("PK\x01\x02\x14\x03"), head, rest, bytes);
    offset += 30 + bytes.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...local, directory, end]);
}

const member = (name: string, more: Partial<Member> = {}): Member => {
  return { name, content: Buffer.from("hello"), ...more };
};

async function faultOf(bytes: Buffer): Promise<string> {
  const archive = await readArchive(bytes);
  assert.ok("fault" in archive, "it is read");
  return archive.fault;
}

/** How many bytes are unpacked while an archive is read, whatever becomes of them. */
async function unpackedWhile(read: () => Promise<unknown>): Promise<number> {
  let bytes = 0;
  const make = zlib.createInflateRaw;
  const spied = mock.method(zlib, "createInflateRaw", () => {
    const inflate = make();
    const push = inflate.push.bind(inflate);
    inflate.push = (chunk: unknown, ...rest) => {
      if (Buffer.isBuffer(chunk)) bytes += chunk.length;
      return push(chunk, ...rest);
    };
    return inflate;
  });
  try {
    await read();
  } finally {
    spied.mock.restore();
  }
  return bytes;
}

test("readArchive() answers an archive's files", async () => {
  const folder = member("lib/", { content: Buffer.alloc(0), mode: 0o040_755 });
  const archive = await readArchive(
    zip([member("a.txt"), folder, member("lib/./b ä", { flags: 0x800 })]),
  );
  assert.ok("files" in archive);
  const files = archive.files.map(({ name, content }) => [name, content.toString()]);
  assert.deepEqual(files, [
    ["a.txt", "hello"],
    ["lib/b ä", "hello"],
  ]);
});

test("readArchive() refuses names that leave the folder, links, devices and what is encrypted", async () => {
  for (const name of ["../up", "a/../../up", "/etc/passwd", "C:/x", "a\\..\\..\\up"]) {
    assert.match(await faultOf(zip([member(name)])), /leaves its folder/, name);
  }
  assert.match(await faultOf(zip([member("link", { mode: 0o120_777 })])), /link, which is no file/);
  assert.match(await faultOf(zip([member("null", { mode: 0o020_666 })])), /null, which is no file/);
  assert.match(await faultOf(zip([member("x", { flags: 1 })])), /x, which is encrypted/);
  assert.match(await faultOf(Buffer.from("PK no")), /not a zip archive/);
});

test("readArchive() unpacks no more than its bounds, whatever an archive says of itself", async () => {
  const zeros = (bytes: number) => Buffer.alloc(bytes);
  const large = member("large", { content: zeros(2 * 1024 ** 2 + 1) });
  assert.match(await faultOf(zip([large])), /large, of over 2097152 bytes/);
  const content = zeros(64 * 1024 ** 2);
  const liar = zip([member("liar", { content, says: 10 })]);
  const surplus = await unpackedWhile(async () => {
    assert.match(await faultOf(liar), /not a zip archive/);
  });
  assert.ok(surplus > 0 && surplus < 1024 ** 2, `${surplus} bytes were unpacked`);
  const honest = zip([member("honest", { content: zeros(2 * 1024 ** 2) })]);
  assert.equal(await unpackedWhile(() => readArchive(honest)), 2 * 1024 ** 2);
  const many = Array.from({ length: 6 }, (_, index) => {
    return member(`${index}`, { content: zeros(2 * 1024 ** 2) });
  });
  assert.match(await faultOf(zip(many)), /more than 10240 KB/);
  assert.ok("files" in (await readArchive(zip(many.slice(1)))));
  const crowd = Array.from({ length: 256 }, (_, index) => member(`${index}`));
  assert.match(await faultOf(zip(crowd)), /more than 255 files/);
  const folders = Array.from({ length: 1025 }, (_, index) => member(`${index}/`));
  assert.match(await faultOf(zip(folders)), /more than 1024 entries/);
});
