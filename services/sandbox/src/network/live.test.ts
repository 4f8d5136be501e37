// The network of a jail with the programs of this machine: curl and Python inside, servers of the test's own outside.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { NetworkPolicy_Mode as Mode } from "@syla/contract/syla/sandbox/v1/network";
import { type JailFixture, openFixture } from "../jail/fixture.ts";
import {
  type Host,
  networked,
  type NetworkedOptions,
  openHttpHost,
  openTcpHost,
} from "./fixture.ts";
import { connectCode, rawRequest, tunnel } from "./programs-fixture.ts";

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
const insecure = "curl -sS --max-time 20 -k";
const curl = "curl -sS --max-time 20";

describe("the network of a jail", () => {
  test("reaches by HTTP and HTTPS what is allowed, and is told why not elsewhere", () =>
    networked(
      fixture,
      allow("allowed.test", "*.wild.test"),
      async ({ run, refusals, network }) => {
        const first = await run(`${curl} http://allowed.test:${plain.port}/a`);
        assert.deepEqual([first.code, first.stdout], [0, "hello /a 0\n"], first.stderr);
        const second = await run(`${insecure} https://allowed.test:${secure.port}/b`);
        assert.deepEqual([second.code, second.stdout], [0, "hello /b 0\n"], second.stderr);
        const third = await run(`${insecure} https://sub.wild.test:${secure.port}/c`);
        assert.equal(third.stdout, "hello /c 0\n");
        const told = await run(`${curl} -w '%{http_code}' http://other.test:${plain.port}/`);
        assert.match(
          told.stdout,
          /refused by the sandbox's network policy: no rule allows it.*\n403$/,
        );
        const refused = await run(`${insecure} https://other.test:${secure.port}/`);
        assert.match(refused.stderr, /403/);
        const port = await run(`${curl} http://allowed.test:1/`);
        assert.match(port.stdout, /no rule allows it/);
        assert.deepEqual(
          refusals().map(({ host, port: at, reason }) => [host, at, reason]),
          [
            ["other.test", plain.port, "not_allowed"],
            ["other.test", secure.port, "not_allowed"],
            ["allowed.test", 1, "not_allowed"],
          ],
        );
        const { events, ...counts } = network.events(0);
        assert.deepEqual(counts, { connected: 3, refused: 3 });
        assert.deepEqual(
          events.slice(0, 3).map(({ address, rule, open }) => [address, rule, open]),
          events
            .slice(0, 3)
            .map(({ host }) => [
              "127.0.0.1",
              `${host === "sub.wild.test" ? "*.wild.test" : host}:${plain.port},${secure.port}`,
              false,
            ]),
        );
        assert.ok(network.bytes.sent > 100 && network.bytes.received > 100);
      },
      { names },
    ));

  test("is nothing by default, and raw sockets reach nothing whatever the policy", async () => {
    const probe = [
      "import socket, os",
      "def tried(f):",
      "  try: f(); return 'reached'",
      "  except Exception as e: return type(e).__name__",
      `print(tried(lambda: socket.create_connection(('127.0.0.1', ${plain.port}), 3)))`,
      "print(tried(lambda: socket.create_connection(('1.1.1.1', 443), 3)))",
      "print(tried(lambda: socket.create_connection(('2606:4700::1111', 443), 3)))",
      "print(tried(lambda: socket.getaddrinfo('allowed.test', 80)))",
      "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
      "print(tried(lambda: udp.sendto(b'x', ('1.1.1.1', 53))))",
      "p = os.environ.get('http_proxy', 'http://127.0.0.1:61080').rsplit(':', 1)[1]",
      "print(tried(lambda: socket.create_connection(('127.0.0.1', int(p)), 3)))",
    ].join("\n");
    const unreached = [...["ConnectionRefusedError", "OSError", "OSError", "gaierror", "OSError"]];
    await networked(fixture, { mode: Mode.NONE }, async ({ python, run }) => {
      const { stdout, stderr } = await python(probe);
      assert.deepEqual(stdout.trim().split("\n"), [...unreached, "ConnectionRefusedError"], stderr);
      assert.equal((await run("env | grep -ci proxy")).stdout, "0\n");
    });
    // The same probe, where there is a proxy: it alone is reached.
    await networked(fixture, { mode: Mode.FULL }, async ({ python, run }) => {
      const { stdout, stderr } = await python(probe);
      assert.deepEqual(stdout.trim().split("\n"), [...unreached, "reached"], stderr);
      const told = await run(`${curl} http://127.0.0.1:${plain.port}/ --noproxy ''`);
      assert.equal(told.stdout, "hello / 0\n");
    });
  });

  test("puts headers into requests that the sandbox itself never has", () => {
    const key = `KEY-${"0123456789abcdef".repeat(2)}`;
    const policy = {
      ...allow("api.test", "allowed.test"),
      inject: [
        { host: "api.test", header: "Authorization", value: "Bearer ${API}", plainHttp: true },
        { host: "allowed.test", header: "X-Key", value: key },
      ],
      secrets: { API: key },
    };
    return networked(
      fixture,
      policy,
      async ({ run, python, network, log }) => {
        plain.requests.length = 0;
        secure.requests.length = 0;
        const curled = await run(
          `${curl} -H 'Authorization: mine' https://api.test:${secure.port}/x http://api.test:${plain.port}/y`,
        );
        assert.equal(curled.stdout, "hello /x 0\nhello /y 0\n", curled.stderr);
        assert.equal(secure.requests[0]?.headers.authorization, `Bearer ${key}`);
        assert.equal(plain.requests[0]?.headers.authorization, `Bearer ${key}`);
        const code = [
          "import os, re, ssl, urllib.request",
          `print(urllib.request.urlopen('https://api.test:${secure.port}/p').read().decode().strip())`,
          "found = []",
          "def look(what, data): found.extend([what] if re.search(rb'KEY-[0-9a-f]{32}', data) else [])",
          "marker = b'KEY' + b'-' + os.urandom(16).hex().encode() if os.environ.get('CONTROL') else b''",
          "look('environment', open('/proc/self/environ', 'rb').read())",
          "look('authorities', open(os.environ['SSL_CERT_FILE'], 'rb').read())",
          "memory = open('/proc/self/mem', 'rb', 0)",
          "for line in open('/proc/self/maps'):",
          "  range, mode = line.split()[:2]",
          "  start, end = (int(part, 16) for part in range.split('-'))",
          "  if not mode.startswith('rw') or end - start > 1 << 26: continue",
          "  try: memory.seek(start); look('memory', memory.read(end - start))",
          "  except (OSError, ValueError, OverflowError): pass",
          "print(sorted(set(found)))",
        ].join("\n");
        assert.equal((await python(code)).stdout, "hello /p 0\n[]\n");
        const control = await run(["/usr/bin/python3", "-c", code], { CONTROL: "1" });
        assert.equal(control.stdout, "hello /p 0\n['memory']\n", control.stderr);
        assert.equal(secure.requests.at(-1)?.headers.authorization, `Bearer ${key}`);
        // Without being told to, nothing goes where everyone can read it.
        await run(`${curl} http://allowed.test:${plain.port}/z`);
        assert.equal(plain.requests.at(-1)?.headers["x-key"], undefined);
        await run(`${curl} https://allowed.test:${secure.port}/z`);
        assert.equal(secure.requests.at(-1)?.headers["x-key"], key);
        const traced = await run(`${curl} -X TRACE http://api.test:${plain.port}/`);
        assert.match(traced.stdout, /TRACE is not passed on/);
        const told = JSON.stringify(
          [network.message, network.events(0).events],
          (_, value: unknown) => (typeof value === "bigint" ? String(value) : value),
        );
        assert.ok(!told.includes(key) && !log.join("").includes(key));
      },
      { names },
    );
  });

  test("does not trust a host that is not who it says it is", async (t) => {
    const wrong = await openHttpHost("someone-else.test");
    t.after(() => wrong.close());
    const inject = [{ host: "allowed.test", header: "X-Key", value: "secret" }];
    const rules = [
      { target: { case: "domain" as const, value: "allowed.test" }, ports: [wrong.port] },
    ];
    await networked(
      fixture,
      { mode: Mode.ALLOW_LIST, allow: rules, inject },
      async ({ run, refusals }) => {
        const { stdout } = await run(`${curl} https://allowed.test:${wrong.port}/`);
        assert.match(stdout, /TLS to the host failed: ERR_TLS_CERT_ALTNAME_INVALID/);
        assert.deepEqual(
          refusals().map(({ reason }) => reason),
          ["certificate"],
        );
        assert.equal(wrong.requests.length, 0);
      },
      { names },
    );
  });

  test("ends what a changed policy does not allow, and goes on with what it does", () =>
    networked(
      fixture,
      allow("allowed.test", "other.test"),
      async ({ run, change, network, refusals }) => {
        const slow = (name: string) => run(`${curl} -N http://${name}:${plain.port}/slow`);
        const [first, second] = [slow("allowed.test"), slow("other.test")];
        while (network.events(0).connected < 2) await new Promise((done) => setTimeout(done, 10));
        await change(allow("other.test"));
        assert.notEqual((await first).code, 0);
        assert.deepEqual(
          refusals().map(({ host, reason }) => [host, reason]),
          [["allowed.test", "policy_changed"]],
        );
        assert.match((await run(`${curl} http://allowed.test:${plain.port}/`)).stdout, /refused/);
        assert.equal(network.events(0).events.filter(({ open }) => open).length, 1);
        await change({ mode: Mode.NONE });
        assert.notEqual((await second).code, 0);
        assert.equal(network.events(0).events.filter(({ open }) => open).length, 0);
        // What was started when there was a network is told that there is none.
        const late = await run(
          `${curl} -x http://127.0.0.1:61080 http://other.test:${plain.port}/`,
        );
        assert.match(late.stdout, /the sandbox has no network/);
      },
      { names },
    ));

  test("speaks SOCKS, and lets hosts speak first at ports of their own", async (t) => {
    const greeter = await openTcpHost((socket) => {
      socket.write("220 hello\r\n");
      socket.on("data", (data) => socket.end(`you said ${data.toString()}`));
    });
    t.after(() => greeter.close());
    const rules = [
      {
        target: { case: "domain" as const, value: "allowed.test" },
        ports: [greeter.port, plain.port, 443],
      },
    ];
    await networked(
      fixture,
      { mode: Mode.ALLOW_LIST, allow: rules },
      async ({ run, python }) => {
        const socks = "-x socks5h://127.0.0.1:61080";
        const first = await run(`${curl} ${socks} http://allowed.test:${plain.port}/s`);
        assert.equal(first.stdout, "hello /s 0\n", first.stderr);
        const refused = await run(`${curl} ${socks} http://other.test:${plain.port}/s`);
        assert.equal(refused.code, 97, refused.stderr);
        const code = tunnel(
          `allowed.test:${greeter.port}`,
          "",
          "print(s.recv(99)); s.sendall(b'bye');",
        );
        assert.match((await python(code)).stdout, /220 hello.*you said bye/s);
      },
      { names },
    );
  });

  test("leaves no connection open that nothing moves on, nor one whose program is gone", () =>
    networked(
      fixture,
      allow("allowed.test"),
      async ({ run, network }) => {
        const open = () => network.events(0).events.filter((event) => event.open).length;
        const idle = await run(`${curl} -N http://allowed.test:${plain.port}/slow`);
        assert.deepEqual([idle.code, idle.stdout, open()], [18, "begun\n", 0], idle.stderr);
        const url = `https://allowed.test:${secure.port}/slow`;
        const killed = await run(`${insecure} -N ${url} & sleep 0.3; kill $!; wait $!; sleep 0.2`);
        assert.deepEqual([killed.stdout, open()], ["begun\n", 0]);
        assert.deepEqual([plain.sockets.size, secure.sockets.size], [0, 0]);
      },
      { names, idleMs: 1000 },
    ));

  test("passes WebSockets on, and no other change of protocol", async (t) => {
    const sockets = await openTcpHost((socket) => {
      socket.once("data", (head) => {
        const upgrade = /^upgrade: (.*)\r$/im.exec(head.toString("latin1"))?.[1];
        const answer =
          upgrade === undefined
            ? "200 OK\r\nContent-Length: 2"
            : "101 Yes\r\nUpgrade: x\r\nConnection: upgrade";
        socket.write(`HTTP/1.1 ${answer}\r\n\r\n`);
        socket.write(upgrade ?? "no");
        if (upgrade !== undefined) socket.on("data", (data) => socket.end(data));
      });
    });
    t.after(() => sockets.close());
    const rules = [
      { target: { case: "domain" as const, value: "allowed.test" }, ports: [sockets.port] },
    ];
    await networked(
      fixture,
      { mode: Mode.ALLOW_LIST, allow: rules },
      async ({ python }) => {
        const at = `allowed.test:${sockets.port}`;
        const upgrade = (url: string, protocol: string) =>
          `GET ${url} HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: Upgrade\\r\\nUpgrade: ${protocol}\\r\\n\\r\\n`;
        const asked = await python(rawRequest(`${upgrade(`http://${at}/`, "websocket")}frames`));
        assert.match(asked.stdout, /101 Switching.*websocket\s*frames/s);
        const tunnelled = await python(tunnel(at, `${upgrade("/", "websocket")}frames`));
        assert.match(tunnelled.stdout, /101 Switching.*websocket\s*frames/s);
        const other = await python(rawRequest(upgrade(`http://${at}/`, "h2c")));
        assert.match(other.stdout, /200 OK.*no/s);
      },
      { names },
    );
  });

  test("carries much both ways, and only as fast as it is read", async (t) => {
    const bytes = 20_000_000;
    const echo = await openTcpHost((socket) => void socket.pipe(socket));
    t.after(() => echo.close());
    const rules = [
      { target: { case: "range" as const, value: "127.0.0.0/8" }, ports: [echo.port] },
    ];
    await networked(
      fixture,
      { mode: Mode.ALLOW_LIST, allow: rules },
      async ({ python, network }) => {
        const code = [
          connectCode(`127.0.0.1:${echo.port}`),
          "import threading, hashlib, os",
          `data = os.urandom(1000000) * ${bytes / 1_000_000}`,
          "t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(1))); t.start()",
          "back = b''.join(iter(lambda: s.recv(65536), b''))",
          "print(back == data)",
        ].join("\n");
        assert.equal((await python(code)).stdout, "True\n");
        assert.deepEqual(network.bytes, { sent: bytes, received: bytes });
      },
    );
  });
});
