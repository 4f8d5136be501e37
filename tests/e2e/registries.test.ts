// Packages from the registries that this host's own pip and npm ask, in a template's build with an allow-list and no
// more of the network. Where they are is the clients' to say. On a host whose registries no sandbox may reach, since
// their names lead to addresses that are not public, the tests say that.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { getOk, killSandbox, makeSandbox, pathOf, shell } from "../sandbox-api.ts";
import { buildEvents, declare, getTemplate } from "../snapshot-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const pipProgram = `
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
configuration = Configuration(isolated=False)
configuration.load()
print(dict(configuration.items()).get("global.index-url", PyPI.simple_url))`;

async function printedBy(command: string, ...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(command, args)).stdout.trim();
  } catch {
    return "";
  }
}

/** Whether a sandbox may reach an address at all; where it may not, the test says that the registry is not here. */
async function isHere(address: string, name: string, t: TestContext): Promise<boolean> {
  if (!URL.canParse(address) || !address.startsWith("https:")) {
    t.skip(`${name} is not on this host: its client names none`);
    return false;
  }
  const { hostname } = new URL(address);
  const network = { mode: "ALLOW_LIST", allow: [{ domain: hostname }] };
  const { id } = await makeSandbox(platform(), { network });
  const open = `import urllib.request; urllib.request.urlopen("${address}", timeout=20).read(1)`;
  await shell(platform(), id, `python3 -c '${open}'`);
  const told = await getOk<{ readonly events: readonly { readonly reason: string }[] }>(
    platform(),
    pathOf(id, "/network/events"),
  );
  await killSandbox(platform(), id);
  const why = told.events.map(({ reason }) => reason).find((reason) => reason !== "");
  if (why !== undefined) t.skip(`${name} is not on this host: ${why}`);
  return why === undefined;
}

async function build(name: string, spec: object, hosts: readonly string[]): Promise<void> {
  const allow = [...new Set(hosts)].map((domain) => ({ domain }));
  await declare(platform(), { name, ...spec, network: { mode: "ALLOW_LIST", allow } });
  const events = await buildEvents(platform(), name);
  const { status, errorMessage } = await getTemplate(platform(), name);
  const said = events.map(({ output }) => output ?? "").join("");
  assert.equal(status, "READY", `${errorMessage ?? ""}\n${said}`);
}

async function saidBy(template: string, code: string): Promise<string> {
  const { id } = await makeSandbox(platform(), { template });
  const { stdout, stderr } = await shell(platform(), id, code);
  await killSandbox(platform(), id);
  return stdout + stderr;
}

test("a template has what pip installs by an allow-list of its index and its files", async (t) => {
  const index = await printedBy("/usr/bin/python3", "-c", pipProgram);
  const page = `${index.replace(/\/$/, "")}/tabulate/`;
  if (!(await isHere(page, "PyPI", t))) return;
  const links = [...(await (await fetch(page)).text()).matchAll(/href="(https:[^"#]+)/g)];
  const hosts = links.map(([, address = ""]) => new URL(address).hostname);
  const spec = { language: "python", packages: { pip: ["tabulate==0.9.0"] } };
  await build("from-pip", spec, [new URL(index).hostname, ...hosts]);
  const code = `python3 -c 'import tabulate; print(tabulate.__version__)'; printf 'a b\\n' | tabulate -f plain`;
  assert.equal(await saidBy("from-pip", code), "0.9.0\na  b\n");
});

test("a template has what npm installs by an allow-list of its registry", async (t) => {
  const registry = await printedBy("npm", "config", "get", "registry");
  if (!(await isHere(registry, "npm", t))) return;
  const spec = { language: "javascript", packages: { npm: ["is-odd@3.0.1"] } };
  await build("from-npm", spec, [new URL(registry).hostname]);
  assert.equal(await saidBy("from-npm", `node -p 'require("is-odd")(3)'`), "true\n");
});
