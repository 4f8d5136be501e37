// The page as it is served; tests/e2e/docs-page.test.ts uses it in a browser.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestGateway } from "../gateway-fixture.ts";

const gateway = await startTestGateway();
after(() => gateway.close());
const { url } = gateway;

const mediaTypes: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

async function page(): Promise<string> {
  return (await fetch(`${url}/docs`)).text();
}

test("/ leads to /docs, a page with a title that loads nothing from elsewhere and is not to be framed", async () => {
  const root = await fetch(`${url}/`, { redirect: "manual" });
  assert.equal(root.headers.get("location"), "/docs");
  const response = await fetch(`${url}/docs`);
  assert.equal(response.headers.get("content-type"), "text/html; charset=utf-8");
  const policy = response.headers.get("content-security-policy") ?? "";
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
  assert.match(policy, /connect-src 'self';.*frame-ancestors 'none'$/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  assert.match(await response.text(), /<title>Syla API reference<\/title>/);
});

test("all that /docs names is served from here, as what it is", async () => {
  const html = await page();
  const named = [...html.matchAll(/ (?:src|href)="([^"]*)"/g)].map(([, place = ""]) => place);
  const files = named.filter((place) => place.startsWith("/docs/"));
  assert.equal(files.length, 4);
  assert.deepEqual(
    named.filter((place) => !files.includes(place)),
    ["data:,", "/openapi.json"],
  );
  for (const file of files) {
    const response = await fetch(url + file);
    assert.equal(response.status, 200, file);
    const ending = file.slice(file.lastIndexOf(".") + 1);
    assert.equal(response.headers.get("content-type"), mediaTypes[ending], file);
    assert.ok((await response.text()).length > 100, file);
  }
});

test("/docs, its start script and its style name no host", async () => {
  const texts = [await page()];
  for (const file of ["start.js", "page.css"]) {
    texts.push(await (await fetch(`${url}/docs/${file}`)).text());
  }
  for (const text of texts) assert.doesNotMatch(text, /["'(=]\s*(?:\w+:)?\/\/|https?:/);
  assert.match(texts[1] ?? "", /validatorUrl: null/);
});

test("/docs has no script and no style of its own inside it, which its policy would keep from working", async () => {
  const html = await page();
  assert.doesNotMatch(html, /<script(?![^>]* src=)|<style|\son\w+=|\sstyle=/);
});
