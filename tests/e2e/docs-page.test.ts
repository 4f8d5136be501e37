// The page at /docs in a browser: it draws the description, tries a call, and asks nobody else for anything.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { openBrowser } from "../browser.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

let browser: Browser | undefined;

before(async () => {
  browser = await openBrowser();
});

after(() => browser?.close());

/** A page of a browser, and what went wrong on it: its complaints, and its requests to other hosts. */
async function openPage(from: Browser): Promise<{ page: Page; wrong: string[] }> {
  const page = await from.newPage({ viewport: { width: 1280, height: 900 } });
  const wrong: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${platform().url}/`) && !url.startsWith("data:")) wrong.push(url);
  });
  return { page, wrong };
}

test("/docs runs the example of an operation and shows its answer", async (t) => {
  if (browser === undefined) return t.skip("chromium is not on this host");
  const { page, wrong } = await openPage(browser);
  await page.goto(`${platform().url}/docs`);
  assert.equal(await page.title(), "Syla API reference");
  const operation = page.locator(".opblock-post").filter({ hasText: "/executions:execute" });
  await operation.locator(".opblock-summary-control").click();
  assert.match(await operation.locator("textarea").inputValue(), /"code": "print\(6 \* 7\)"/);
  await operation.getByRole("button", { name: "Execute", exact: true }).click();
  const answer = operation.locator(".live-responses-table .response");
  await answer.locator(".response-col_status", { hasText: "200" }).waitFor();
  assert.match(await answer.locator(".highlight-code").first().innerText(), /"stdout": "42\\n"/);
  assert.deepEqual(wrong, []);
});

test("a link to an operation opens /docs at it", async (t) => {
  if (browser === undefined) return t.skip("chromium is not on this host");
  const { page, wrong } = await openPage(browser);
  const way = "ExecutionService/syla.execution.v1.ExecutionService.Execute";
  await page.goto(`${platform().url}/docs#/${way}`);
  await page.locator(".opblock.is-open", { hasText: "/executions:execute" }).waitFor();
  assert.equal(await page.locator(".opblock.is-open").count(), 1);
  assert.deepEqual(wrong, []);
});
