// What sandboxes may reach, through the whole platform: with curl and Python inside, and servers of the test's own.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { rmSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { syla } from "../../cli/src/terminal/fixture.ts";
import { CertificateAuthority } from "../../services/sandbox/src/network/certificate.ts";
import { execute, post, refusal } from "../api.ts";
import { assertHostUnchanged, observeHost } from "../host.ts";
import { wheel } from "../packages.ts";
import { makeDataDirectory, type Platform, startPlatform } from "../platform.ts";
import {
  getOk,
  getSandbox,
  killSandbox,
  makeSandbox,
  parseOk,
  pathOf,
  postOk,
  shell,
  startProcess,
} from "../sandbox-api.ts";
import { buildEvents, declare, forkSandbox, getTemplate } from "../snapshot-api.ts";
import { eventually } from "./shared.ts";

interface NetworkEvents {
  readonly events: readonly {
    readonly type: string;
    readonly host: string;
    readonly port: number;
    readonly reason: string;
    readonly receivedBytes: number;
    readonly open: boolean;
  }[];
  readonly connected: number;
  readonly refused: number;
}

const authority = new CertificateAuthority("hosts of tests", Date.now());
const requests: IncomingMessage[] = [];
const tiny = makeTiny();
const answer = (request: IncomingMessage, response: ServerResponse) => {
  requests.push(request);
  if (request.url === "/slow") response.write("begun\n");
  else if (request.url === "/simple/tiny/") {
    response
      .setHeader("Content-Type", "text/html")
      .end('<a href="/tiny-1.0-py3-none-any.whl">tiny</a>');
  } else if (request.url === "/tiny-1.0-py3-none-any.whl") response.end(tiny);
  else response.end(`hello ${request.url}\n`);
};
const plain = createServer(answer);
const secure = createSecureServer(
  { SNICallback: (name, done) => done(null, authority.contextOf(name)) },
  answer,
);
const key = `KEY-${"0123456789abcdef".repeat(2)}`;
let platform: Platform;

before(async () => {
  await Promise.all([plain, secure].map(listen));
  platform = await startPlatform({
    program: fileURLToPath(new URL("../network-platform.ts", import.meta.url)),
    environment: {
      TEST_NETWORK_NAMES: "allowed.test,other.test",
      TEST_NETWORK_AUTHORITY: authority.certificate,
      LOG_LEVEL: "info",
    },
  });
});
after(async () => {
  assert.equal(await platform.stop(), 0, platform.log());
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    server.close();
  }
});

const rule = (domain: string) => ({ domain, ports: [portOf(plain), portOf(secure)] });
const curl = "curl -sS --max-time 20";

test("a sandbox reaches what its policy allows, and what it was refused is seen", async () => {
  const untouched = await observeHost(platform);
  const network = {
    mode: "ALLOW_LIST",
    allow: [rule("allowed.test")],
    inject: [{ host: "allowed.test", header: "X-Key", value: "Bearer ${API}" }],
    secrets: { API: key },
  };
  const { id } = await makeSandbox(platform, { network });
  const reached = await shell(
    platform,
    id,
    `${curl} http://allowed.test:${portOf(plain)}/a https://allowed.test:${portOf(secure)}/b
     python3 -c "import urllib.request as u; print(u.urlopen('https://allowed.test:${portOf(secure)}/c').read())"
     ${curl} http://other.test:${portOf(plain)}/d; ${curl} http://169.254.169.254/; env | grep -c KEY-`,
  );
  assert.equal(reached.stderr, "");
  assert.deepEqual(reached.stdout.split("\n"), [
    ...["hello /a", "hello /b", "b'hello /c\\n'"],
    `other.test:${portOf(plain)} is refused by the sandbox's network policy: no rule allows it.`,
    "169.254.169.254:80 is refused by the sandbox's network policy: no rule allows it.",
    ...["0", ""],
  ]);
  const sent = requests.filter(({ headers }) => headers["x-key"] === `Bearer ${key}`);
  assert.deepEqual(
    sent.map(({ url }) => url),
    ["/b", "/c"],
  );
  const told = await getOk<NetworkEvents>(platform, pathOf(id, "/network/events"));
  assert.deepEqual([told.connected, told.refused], [3, 2]);
  assert.deepEqual(
    told.events.map(({ type, host, reason, open }) => [type, host, reason, open]),
    [
      ["CONNECTED", "allowed.test", "", false],
      ["CONNECTED", "allowed.test", "", false],
      ["CONNECTED", "allowed.test", "", false],
      ["REFUSED", "other.test", "not_allowed", false],
      ["REFUSED", "169.254.169.254", "not_allowed", false],
    ],
  );
  const { metrics } = await getOk<{ metrics: { networkReceivedBytes: number }[] }>(
    platform,
    pathOf(id, "/metrics"),
  );
  assert.ok((metrics.at(-1)?.networkReceivedBytes ?? 0) > 1000);
  const counted = await (await fetch(`${platform.url}/metrics`)).text();
  assert.match(
    counted,
    /^syla_network_connections_total\{outcome="refused",reason="not_allowed"\} 2$/m,
  );
  assert.match(platform.log(), /"host":"other.test".*a sandbox was refused a connection/);
  const answers = [await getSandbox(platform, id), await getOk(platform, pathOf(id, "/network"))];
  assert.match(JSON.stringify(answers), /X-Key/);
  assert.ok(!`${JSON.stringify(answers)}${platform.log()}`.includes(key));
  await killSandbox(platform, id);
  await assertHostUnchanged(platform, untouched);
});

test("an execution reaches what its policy allows while it runs, in each kind of language", async () => {
  const untouched = await observeHost(platform);
  const network = {
    mode: "ALLOW_LIST",
    allow: [rule("allowed.test")],
    inject: [{ host: "allowed.test", header: "X-Key", value: "Bearer ${API}" }],
    secrets: { API: key },
  };
  const url = `https://allowed.test:${portOf(secure)}`;
  const refusedAt = `http://other.test:${portOf(plain)}/`;
  const programs = {
    bash: `${curl} ${url}/run-bash; ${curl} ${refusedAt}; env | grep -c KEY-`,
    python: `import urllib.request as u, subprocess\nprint(u.urlopen("${url}/run-python").read().decode(), end="")
subprocess.run("${curl} ${refusedAt}; env | grep -c KEY-", shell=True)`,
    javascript: `console.log((await (await fetch("${url}/run-javascript")).text()).trim());
require("child_process").execSync("${curl} ${refusedAt}; env | grep -c KEY- || true", { stdio: "inherit" });`,
    c: `#include <stdlib.h>\nint main(void) { return system("${curl} ${url}/run-c; ${curl} ${refusedAt}; env | grep -c KEY-"), 0; }`,
  };
  const refusedWords = `other.test:${portOf(plain)} is refused by the sandbox's network policy: no rule allows it.`;
  for (const [language, given] of Object.entries(programs)) {
    const code = language === "javascript" ? `(async () => {${given}})()` : given;
    const ran = await execute(platform, { language, code, network, limits: { wallTime: "30s" } });
    assert.deepEqual(
      [ran.stdout, ran.stderr],
      [`hello /run-${language}\n${refusedWords}\n0\n`, ""],
      language,
    );
    const without = await execute(platform, { language, code, limits: { wallTime: "30s" } });
    assert.ok(!without.stdout.includes("hello"), without.stdout);
  }
  const sent = requests.filter(({ url: path }) => path?.startsWith("/run-"));
  assert.equal(sent.length, 4);
  assert.ok(sent.every(({ headers }) => headers["x-key"] === `Bearer ${key}`));
  assert.ok(!platform.log().includes(key));
  await assertHostUnchanged(platform, untouched);
});

test("an execution's network ends with it, and a policy that cannot be used is refused before it", async () => {
  const network = { mode: "FULL" };
  const code = `${curl} -N http://allowed.test:${portOf(plain)}/slow`;
  const late = await execute(platform, {
    language: "bash",
    code,
    network,
    limits: { wallTime: "1s" },
  });
  assert.deepEqual([late.errorType, late.stdout], ["timeout", "begun\n"]);
  await eventually("no connection is left", async () => {
    const metrics = await (await fetch(`${platform.url}/metrics`)).text();
    return /^syla_network_connections_open 0$/m.test(metrics);
  });
  const wrong = { mode: "ALLOW_LIST", allow: [{ domain: "not a name" }] };
  const response = await post(platform, "/api/v1/executions", {
    ...{ language: "bash", code: "true", network: wrong },
  });
  const { errors } = await refusal(response, 400, "invalid_request");
  assert.deepEqual(
    errors?.map(({ pointer }) => pointer),
    ["/network/allow/0/domain"],
  );
  const here = { cwd: platform.data, env: { SYLA_URL: platform.url, SYLA_TOKEN: "" } };
  const flags = ["run", "-l", "bash", "-", "--network", `allow:allowed.test:${portOf(plain)}`];
  const input = `${curl} http://allowed.test:${portOf(plain)}/by-cli`;
  const { stdout, stderr } = await syla(flags, { ...here, input });
  assert.deepEqual([stdout, stderr], ["hello /by-cli\n", ""]);
});

test("a policy is changed while it runs, and ends what it does not allow", async () => {
  const { id } = await makeSandbox(platform);
  const none = await shell(platform, id, `env | grep -ci proxy; ${curl} http://allowed.test/`);
  assert.deepEqual([none.stdout, none.process.exitCode], ["0\n", 6]);
  const policy = { mode: "ALLOW_LIST", allow: [rule("allowed.test")] };
  const set = await put<{ mode: string }>(id, policy);
  assert.equal(set.mode, "ALLOW_LIST");
  const slow = await startProcess(platform, id, {
    command: "curl",
    args: ["-sN", `http://allowed.test:${portOf(plain)}/slow`],
  });
  const events = () => getOk<NetworkEvents>(platform, pathOf(id, "/network/events"));
  await eventually("it is connected", async () => (await events()).connected === 1);
  await put(id, { mode: "NONE" });
  await eventually("it has ended", async () => {
    const process = await getOk<{ running: boolean }>(
      platform,
      pathOf(id, `/processes/${slow.id}`),
    );
    return !process.running;
  });
  assert.deepEqual(
    (await events()).events.map(({ reason, open }) => [reason, open]),
    [
      ["", false],
      ["policy_changed", false],
    ],
  );
  await postOk(platform, pathOf(id, ":pause"), {});
  await refusal(await change(id, policy), 409, "sandbox_paused");
  await killSandbox(platform, id);
  await refusal(await change(id, policy), 410, "sandbox_ended");
});

test("a policy that cannot be used is refused with the place of each fault", async () => {
  const network = {
    mode: "FULL",
    allow: [{ domain: "http://a.test" }, { range: "10.0.0.0/40" }],
    inject: [{ host: "a.test", header: "Host", value: "${GONE}" }],
  };
  const response = await fetch(`${platform.url}/api/v1/sandboxes`, {
    ...{ method: "POST", body: JSON.stringify({ network }) },
    headers: { "Content-Type": "application/json" },
  });
  const problem = await refusal(response, 400, "invalid_request");
  assert.deepEqual(
    problem.errors?.map(({ pointer }) => pointer),
    [
      ...["/network/allow/0/domain", "/network/allow/1/range"],
      ...["/network/inject/0/header", "/network/inject/0/value"],
    ],
  );
  const { id } = await makeSandbox(platform);
  await refusal(
    await change(id, { mode: "NONE", deny: [{ domain: "a.test" }] }),
    400,
    "invalid_request",
  );
  await killSandbox(platform, id);
});

test("the command makes a policy, changes it, and shows what was refused", async () => {
  const here = { env: { SYLA_URL: platform.url } };
  const list = `allow:allowed.test:${portOf(plain)},other.test`;
  const made = await syla(["sandbox", "create", "--network", list], here);
  assert.equal(made.code, 0, made.stderr);
  const id = made.stdout.trim();
  const url = `http://allowed.test:${portOf(plain)}/cli`;
  const reached = await syla(["sandbox", "exec", id, "--", "curl", "-sS", url], here);
  assert.equal(reached.stdout, "hello /cli\n", reached.stderr);
  const set = await syla(["sandbox", "network", id, "allow:10.0.0.0/8:5432"], here);
  assert.equal(set.stdout, "allows 10.0.0.0/8:5432\n", set.stderr);
  await syla(["sandbox", "exec", id, "--", "curl", "-sS", url], here);
  const shown = await syla(["sandbox", "network", id], here);
  assert.match(shown.stdout, /^allows 10\.0\.0\.0\/8:5432\n\n.*not_allowed: no rule allows it\n$/s);
  assert.doesNotMatch(shown.stdout, /connected/);
  const all = await syla(["sandbox", "network", id, "--all"], here);
  assert.match(all.stdout, /allowed\.test:\d+ +connected +allowed\.test:\d+; \d+ bytes out/);
  const wrong = await syla(["sandbox", "network", id, "some"], here);
  assert.match(wrong.stderr, /Cannot read --network 'some'/);
  await killSandbox(platform, id);
});

test("a template's build reaches what its declaration allows, and sandboxes of it what they ask for", async () => {
  const index = `https://allowed.test:${portOf(secure)}/simple`;
  const network = {
    mode: "ALLOW_LIST",
    allow: [rule("allowed.test")],
    inject: [{ host: "allowed.test", header: "X-Key", value: "${BUILD}" }],
    secrets: { BUILD: key },
  };
  const spec = {
    name: "reaching",
    language: "python",
    packages: { pip: ["tiny==1.0"] },
    commands: [`${curl} http://other.test:${portOf(plain)}/never`],
    env: { PIP_INDEX_URL: index },
  };
  const { id } = await declare(platform, { ...spec, network });
  const events = JSON.stringify(await buildEvents(platform, "reaching"));
  const built = await getTemplate(platform, "reaching");
  assert.equal(built.status, "READY", events);
  assert.match(events, /is refused by the sandbox's network policy: no rule allows it/);
  const asked = requests.filter(({ url }) => url === "/simple/tiny/");
  assert.deepEqual(
    asked.map(({ headers }) => headers["x-key"]),
    [key],
  );
  assert.ok(!(events + JSON.stringify(built) + platform.log()).includes(key));
  const secrets = { BUILD: `another ${key}` };
  assert.equal((await declare(platform, { ...spec, network: { ...network, secrets } })).id, id);
  const made = await makeSandbox(platform, { template: "reaching" });
  const said = await shell(platform, made.id, `tiny; env | grep -ci proxy`);
  assert.equal(said.stdout, "tiny says 42\n0\n", said.stderr);
  await killSandbox(platform, made.id);
});

test("a build that fails tells what it did not reach", async () => {
  const spec = {
    name: "out-of-reach",
    language: "python",
    network: { mode: "ALLOW_LIST", allow: [rule("allowed.test")] },
    commands: [`${curl} http://other.test:${portOf(plain)}/`, `${curl} http://else.test/; exit 4`],
  };
  await declare(platform, spec);
  await buildEvents(platform, "out-of-reach");
  const { status, errorMessage } = await getTemplate(platform, "out-of-reach");
  assert.equal(status, "FAILED");
  // Of the step that failed, and of no other.
  assert.match(
    errorMessage ?? "",
    /ended with code 4\. It did not reach else\.test:80 \(not_allowed\)\.$/,
  );
});

test("a fork may reach what its source may, with the same headers", async () => {
  const network = {
    mode: "ALLOW_LIST",
    allow: [rule("allowed.test")],
    inject: [{ host: "allowed.test", header: "X-Key", value: key }],
  };
  const source = await makeSandbox(platform, { network });
  const { sandboxes } = await forkSandbox(platform, source.id);
  await killSandbox(platform, source.id);
  const [fork] = sandboxes;
  assert.ok(fork !== undefined && !JSON.stringify(fork).includes(key));
  const said = await shell(
    platform,
    fork.id,
    `${curl} https://allowed.test:${portOf(secure)}/fork http://other.test:${portOf(plain)}/fork`,
  );
  assert.match(said.stdout, /^hello \/fork\nother.test:\d+ is refused/, said.stderr);
  const sent = requests.filter(({ url }) => url === "/fork");
  assert.deepEqual(
    sent.map(({ headers }) => headers["x-key"]),
    [key],
  );
  await killSandbox(platform, fork.id);
});

function change(id: string, network: object): Promise<Response> {
  return fetch(`${platform.url}${pathOf(id, "/network")}`, {
    ...{ method: "PUT", body: JSON.stringify(network) },
    headers: { "Content-Type": "application/json" },
  });
}

async function put<T>(id: string, network: object): Promise<T> {
  return parseOk<T>(await change(id, network));
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => void server.listen(0, "127.0.0.1", () => resolve()));
}

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}

function makeTiny(): Buffer {
  const folder = makeDataDirectory();
  try {
    return wheel(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
