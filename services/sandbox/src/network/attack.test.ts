// Attacks on the network of a jail, each beside the use that it looks like.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { NetworkPolicy_Mode as Mode } from "@syla/contract/syla/sandbox/v1/network";
import { type JailFixture, openFixture } from "../jail/fixture.ts";
import { type Host, networked, type NetworkedOptions, openHttpHost } from "./fixture.ts";
import { rawRequest, tlsThrough, tunnel } from "./programs-fixture.ts";

let fixture: JailFixture;
let plain: Host;
let secure: Host;
before(async () => {
  fixture = await openFixture();
  [plain, secure] = await Promise.all([openHttpHost(), openHttpHost("*")]);
});
after(async () => {
  await Promise.all([plain.close(), secure.close()]);
  await fixture.close();
});

const here = () => ["127.0.0.1"];
const names: NetworkedOptions["names"] = {
  "allowed.test": here,
  "other.test": here,
  "api.test": here,
  "sub.wild.test": here,
};
const allow = (...domains: string[]) => ({
  mode: Mode.ALLOW_LIST,
  allow: domains.map((value) => ({
    target: { case: "domain" as const, value },
    ports: [plain.port, secure.port],
  })),
});
const curl = "curl -sS --max-time 20";

describe("the network of a jail, attacked", () => {
  test("never reaches an address that is not of the public internet, however it is written", () =>
    networked(
      fixture,
      { mode: Mode.FULL },
      async ({ run, refusals }) => {
        const hosts = [
          ...["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]"],
          ...["[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"],
          ...["inside.test", "mixed.test", "metadata.test"],
        ];
        for (const host of hosts) {
          const { stdout } = await run(
            `${curl} --noproxy '' -w '%{http_code}' 'http://${host}:${plain.port}/'`,
          );
          assert.match(stdout, /is a [a-z-]+ address\.\n403$/, host);
        }
        for (const host of [
          "127.1",
          "2130706433",
          "0x7f000001",
          "0177.0.0.1",
          "127.0.0.1%00.test",
        ]) {
          const { stdout, stderr } = await run([
            "/usr/bin/python3",
            "-c",
            rawRequest(`CONNECT ${host}:${plain.port} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n`),
          ]);
          assert.match(stdout, /^HTTP\/1\.1 400 /, `${host} ${stderr}`);
        }
        assert.equal(plain.requests.filter(({ url }) => url === "/private").length, 0);
        assert.ok(refusals().every(({ reason }) => ["address", "bad_request"].includes(reason)));
        const { stdout } = await run(`${curl} -o /dev/null -w '%{http_code}' http://nowhere.test/`);
        assert.equal(stdout, "502");
      },
      {
        loopback: false,
        names: {
          "inside.test": () => ["192.168.1.1"],
          "mixed.test": () => ["93.184.216.34", "10.1.2.3"],
          "metadata.test": () => ["fd00:ec2::254"],
        },
      },
    ));

  test("connects to the address that was checked: a name is looked up once", () => {
    let asked = 0;
    const rebinding = () => [(asked += 1) === 1 ? "127.0.0.1" : "10.0.0.1"];
    return networked(
      fixture,
      allow("rebind.test"),
      async ({ run }) => {
        const { stdout } = await run(`${curl} http://rebind.test:${plain.port}/once`);
        assert.deepEqual([stdout, asked], ["hello /once 0\n", 1]);
        const again = await run(`${curl} http://rebind.test:${plain.port}/twice`);
        assert.match(again.stdout, /10\.0\.0\.1 is a private address/);
        // What is not allowed is not looked up: a query would carry words out.
        await run(`${curl} http://word.rebind.test:${plain.port}/`);
        assert.equal(asked, 2);
      },
      { names: { "rebind.test": rebinding } },
    );
  });

  test("does not let a connection be for one host and ask for another", () =>
    networked(
      fixture,
      allow("allowed.test"),
      async ({ run, python, refusals }) => {
        const reasons = () => refusals().map(({ reason }) => reason);
        const host = await run(`${curl} -H 'Host: other.test' http://allowed.test:${plain.port}/`);
        assert.match(host.stdout, /Host is another than its target/);
        const at = `allowed.test:${secure.port}`;
        const hello = (name: string) => python(tlsThrough(at, name));
        assert.match((await hello("'allowed.test'")).stdout, /^hello/);
        assert.match((await hello("'other.test'")).stdout, /^ended/);
        assert.match((await hello("None")).stdout, /^ended/);
        const tunnelled = (lines: string) =>
          python(tunnel(`allowed.test:${plain.port}`, `${lines}\\r\\n\\r\\n`));
        assert.match(
          (await tunnelled("GET /t HTTP/1.1\\r\\nHost: allowed.test")).stdout,
          /hello \/t/,
        );
        for (const lines of [
          "GET /t HTTP/1.1\\r\\nHost: other.test",
          "\\r\\n\\r\\nGET /t HTTP/1.1\\r\\nHost: other.test",
          "GET http://other.test/ HTTP/1.1\\r\\nHost: other.test",
          "GET /t HTTP/1.1\\r\\nHost: allowed.test\\r\\nHost: other.test",
        ]) {
          assert.match((await tunnelled(lines)).stdout, /^HTTP\/1\.1 40[03] /, lines);
        }
        assert.deepEqual(reasons().slice(0, 3), ["host_mismatch", "sni_mismatch", "sni_missing"]);
        assert.ok(plain.requests.every(({ headers }) => headers.host !== "other.test"));
      },
      { names },
    ));

  test("looks at each request of a connection, and passes on nothing that two could read differently", () =>
    networked(
      fixture,
      allow("allowed.test"),
      async ({ python }) => {
        const target = `http://allowed.test:${plain.port}`;
        const good = `GET ${target}/one HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n`;
        const bad = `GET http://other.test:${plain.port}/two HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n`;
        const { stdout } = await python(rawRequest(good + bad));
        assert.match(stdout, /hello \/one.*HTTP\/1\.1 403/s);
        const smuggled = `GET ${target}/hidden HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n`;
        const head = `POST ${target}/post HTTP/1.1\\r\\nHost: allowed.test\\r\\n`;
        for (const framing of [
          `Content-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n`,
          `Transfer-Encoding: chunked\\r\\nTransfer-Encoding: identity\\r\\n\\r\\n0\\r\\n\\r\\n`,
          `Content-Length: 0\\r\\nContent-Length: 9\\r\\n\\r\\n`,
          `Transfer-Encoding : chunked\\r\\n\\r\\n0\\r\\n\\r\\n`,
        ]) {
          const answered = await python(rawRequest(head + framing + smuggled));
          assert.match(answered.stdout, /^HTTP\/1\.1 (400|403) /, framing);
        }
        // A body that a GET may have is framed for the host as well.
        const body = `GET ${target}/body HTTP/1.1\\r\\nHost: allowed.test\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nabcde\\r\\n0\\r\\n\\r\\n`;
        assert.match((await python(rawRequest(body))).stdout, /hello \/body 5/);
        assert.ok(plain.requests.every(({ url }) => url !== "/hidden"));
      },
      { names },
    ));

  test("holds a flood of connections to its bound, and serves the next", () =>
    networked(
      fixture,
      allow("allowed.test"),
      async ({ run, python, network, log }) => {
        const code = [
          "import socket, time",
          "all = [socket.create_connection(('127.0.0.1', 61080)) for _ in range(200)]",
          "for s in all: s.settimeout(5)",
          "ended = 0",
          "for s in all[8:]:",
          "  try: ended += s.recv(1) == b''",
          "  except ConnectionResetError: ended += 1",
          "print(ended)",
        ].join("\n");
        const { stdout, stderr } = await python(code);
        assert.equal(stdout, "192\n", stderr);
        assert.equal(network.events(0).refused, 192);
        assert.ok(log.length <= 61, `${log.length} lines in the log`);
        const { stdout: served } = await run(
          `for n in 1 2 3 4 5; do ${curl} --retry 9 --retry-delay 1 --retry-all-errors http://allowed.test:${plain.port}/n; done`,
        );
        assert.equal(served, "hello /n 0\n".repeat(5));
      },
      { names, connectionsMax: 8 },
    ));

  test("serves what is sent ahead on one connection in turn, and not without end", () =>
    networked(
      fixture,
      allow("allowed.test"),
      async ({ python, network }) => {
        const request = (path: string) =>
          `GET http://allowed.test:${plain.port}/${path} HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n`;
        const code = (path: string, count: number) => `
import socket
s = socket.create_connection(('127.0.0.1', 61080)); s.settimeout(2)
s.sendall(b'${request(path)}' * ${count})
data = b''
try:
  while part := s.recv(65536): data += part
except OSError: pass
print(data.count(b'hello /'), data.count(b'begun'))`;
        assert.equal((await python(code("n", 10))).stdout, "10 0\n");
        const earlier = network.events(0).connected;
        assert.match((await python(code("slow", 2000))).stdout, /^0 [01]\n/);
        assert.ok(network.events(0).connected <= earlier + 1);
      },
      { names },
    ));

  test("holds a change of policy against what was being looked up meanwhile", () => {
    const looking = Promise.withResolvers<void>();
    const found = Promise.withResolvers<readonly string[]>();
    const slow = () => {
      looking.resolve();
      return found.promise;
    };
    return networked(
      fixture,
      allow("slow.test"),
      async ({ run, change }) => {
        const running = run(`${curl} http://slow.test:${plain.port}/late`);
        await looking.promise;
        await change(allow("allowed.test"));
        found.resolve(["127.0.0.1"]);
        assert.match((await running).stdout, /the policy has changed meanwhile/);
        assert.ok(plain.requests.every(({ url }) => url !== "/late"));
      },
      { names: { ...names, "slow.test": slow } },
    );
  });

  test("survives whatever is sent to it, cut off wherever", () =>
    networked(
      fixture,
      { ...allow("allowed.test"), inject: [{ host: "api.test", header: "X", value: "y" }] },
      async ({ python, run, change, network, log }) => {
        const also = allow("allowed.test", "api.test");
        await change({ ...also, inject: [{ host: "api.test", header: "X", value: "y" }] });
        const code = `
import os, random, socket, struct
random.seed(7)
plain, secure = ${plain.port}, ${secure.port}
hosts = ['allowed.test', 'api.test', 'other.test', '127.0.0.1', '[::1]', '\\x00']
target = lambda: random.choice(hosts)
lines = lambda *all: '\\r\\n'.join(all).encode('latin1')
port = lambda: random.choice([plain, secure, 443, 80, 0])
head = lambda: lines('CONNECT %s:%d HTTP/1.1' % (target(), port()), 'Host: x', '', '')
odd = ['Upgrade: websocket\\r\\nConnection: upgrade', 'Content-Length: 9', 'Transfer-Encoding: chunked']
odd += ['A: b', 'A' * 40000 + ': b', 'Connection: host, content-length']
url = lambda: 'http://%s:%d/f' % (target(), plain)
get = lambda: lines('GET %s HTTP/1.1' % url(), 'Host: allowed.test', random.choice(odd), '', '')
asked = lambda: bytes([5, random.choice([1, 1, 2, 3]), 0, random.choice([1, 3, 3, 4, 9]), 12])
socks = lambda: bytes([5, random.choice([0, 1, 2]), 0]) + asked() + b'allowed.test' + struct.pack('>H', plain)
hello = lambda: bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + os.urandom(random.randrange(600))
junk = lambda: os.urandom(random.randrange(300))
for n in range(400):
  s = socket.create_connection(('127.0.0.1', 61080)); s.settimeout(0.02)
  data = b''.join(random.choice([head, head, get, socks, hello, junk])() for _ in range(random.randrange(1, 5)))
  data = data[:random.randrange(1, len(data) + 2)]
  try:
    for part in (data[:len(data) // 2], data[len(data) // 2:]):
      s.sendall(part)
      if random.random() < 0.5: s.recv(9999)
    if random.random() < 0.3: s.shutdown(1)
  except OSError: pass
  if random.random() < 0.5: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
  s.close()
print('done')`;
        const { stdout, stderr } = await python(code);
        assert.equal(stdout, "done\n", stderr);
        assert.doesNotMatch(log.join(""), /could not be served/);
        const { stdout: served } = await run(
          `${curl} http://allowed.test:${plain.port}/n https://api.test:${secure.port}/n`,
        );
        assert.equal(served, "hello /n 0\n".repeat(2));
        const open = () => network.events(0).events.filter((event) => event.open).length;
        while (open() > 0) await new Promise((done) => setTimeout(done, 20));
      },
      { names, idleMs: 3000 },
    ));
});
