// A web application in a sandbox, in a real browser, at the address that `syla sandbox port` prints: everything on its
// page comes, though the port is private. By path a page has nobody's origin; a public one has styles and scripts.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { follow, makeSandbox, pathOf, postOk, startProcess, watchProcess } from "../sandbox-api.ts";
import { openBrowser } from "../browser.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const cli = fileURLToPath(new URL("../../cli/src/main.ts", import.meta.url));
const program = readFileSync(new URL("../page-server.cjs", import.meta.url), "utf8");

let browser: Browser | undefined;
let sandbox = "";

before(async () => {
  browser = await openBrowser();
});

after(() => browser?.close());

async function serve(): Promise<string> {
  if (sandbox !== "") return sandbox;
  const { id } = await makeSandbox(platform(), { language: "javascript" });
  await postOk(platform(), pathOf(id, "/files:write"), {
    files: [{ path: "page.cjs", content: program }],
  });
  const { id: process } = await startProcess(platform(), id, {
    command: "node",
    args: ["page.cjs"],
  });
  await follow(await watchProcess(platform(), id, process), ({ stdout }) => stdout !== undefined);
  sandbox = id;
  return id;
}

async function addressOf(id: string, ...flags: string[]): Promise<string> {
  const env = { PATH: process.env["PATH"], SYLA_DATA: platform().data };
  const args = [cli, "sandbox", "port", id, "8000", ...flags];
  return (await promisify(execFile)(process.execPath, args, { env })).stdout.trim();
}

/** Opens an address as a browser that has been nowhere. */
async function visit(from: Browser, address: string, work: (page: Page) => Promise<void>) {
  const context = await from.newContext();
  try {
    const page = await context.newPage();
    await page.goto(address, { waitUntil: "load" });
    await work(page);
  } finally {
    await context.close();
  }
}

const lookOf = (page: Page) =>
  page.evaluate(
    `[getComputedStyle(document.querySelector("h1")).color, document.querySelector("img").naturalWidth, document.title]`,
  );

test("the page of a private server has all that it asks for, at the address that is printed", async (t) => {
  if (browser === undefined) return t.skip("chromium is not on this host");
  await visit(browser, await addressOf(await serve()), async (page) => {
    assert.doesNotMatch(page.url(), /syla_ticket/);
    await page.waitForFunction(`document.body.className === "module"`);
    assert.deepEqual(await lookOf(page), ["rgb(1, 2, 3)", 9, "scripted"]);
    await page.waitForFunction(
      `Object.keys(JSON.parse(document.querySelector("pre").textContent || "{}")).length === 6`,
    );
    assert.deepEqual(JSON.parse(await page.locator("pre").innerText()), {
      ...{ relative: "text", absolute: "text", redirected: "text", socket: "own page" },
      ...{ cookie: "page=1; server=1", stream: "event" },
    });
    await page.getByRole("link").click();
    await page.waitForFunction(`document.title === "elsewhere"`);
    await page.goBack();
    await page.getByRole("button").click();
    await page.waitForFunction(`document.title === "sent"`);
  });
});

test("by path a public page has its styles, scripts and pictures, its forms and sockets, and no origin", async (t) => {
  if (browser === undefined) return t.skip("chromium is not on this host");
  await visit(browser, await addressOf(await serve(), "--public", "--path"), async (page) => {
    assert.deepEqual(await lookOf(page), ["rgb(1, 2, 3)", 9, "scripted"]);
    await page.waitForFunction(`document.querySelector("pre").textContent.includes("other page")`);
    assert.equal(await page.evaluate("self.origin"), "null");
    await page.getByRole("button").click();
    await page.waitForFunction(`document.title === "sent"`);
  });
});
