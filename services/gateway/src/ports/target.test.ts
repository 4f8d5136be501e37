import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { onOrigin, takeSecrets } from "./admission.ts";
import { type Target, targetOf } from "./target.ts";

const id = "0197a2c4-7b1e-7c3d-9a53-2f6d1c0b8e47";

function find(url: string, headers: Readonly<Record<string, string>> = {}): Target | undefined {
  return targetOf(parseMessage({ url, headers }), "localhost");
}
const parseMessage = (value: unknown) => value as IncomingMessage;

test("targetOf() finds a port in a path, and what is left for the server", () => {
  const target = find(`/s/${id}/8000/a/../b?c=/s/`);
  assert.deepEqual(target, {
    ...{ sandbox: id, port: 8000, way: "path", bare: false },
    ...{ prefix: `/s/${id}/8000`, path: "/a/../b?c=/s/" },
  });
  assert.deepEqual([find(`/s/${id}/80?a`)?.bare, find(`/s/${id}/80?a`)?.path], [true, "/?a"]);
  assert.equal(find(`http://127.0.0.1:8080/s/${id}/80/x?y`)?.path, "/x?y");
  for (const path of ["/", "/s", "/api/v1/sandboxes", "/ss/", `/S/${id}/80/`]) {
    assert.equal(find(path), undefined, path);
  }
  const wrong = [
    `${id}/0/`,
    `${id}/080/`,
    `${id}/65536/`,
    `${id}/80x/`,
    `${id}/`,
    "x/80/",
    "../80/",
  ];
  for (const rest of [...wrong, id.toUpperCase(), `${id}%2f80/`]) {
    assert.throws(() => find(`/s/${rest}`), { code: "route_not_found" }, rest);
  }
});

test("targetOf() finds a port in the name of the host, below the domain alone", () => {
  const name = `8000-${id}.localhost`;
  for (const host of [name, `${name}:8080`, `${name.toUpperCase()}:80`, `${name}.`]) {
    assert.deepEqual(
      [find("/api/v1?x", { host })?.way, find("/a", { host })?.port],
      ["host", 8000],
    );
  }
  const others = [`${name}.evil.test`, `8000-${id}.evillocalhost`, `x.${name}`, `8000-${id}`];
  for (const host of ["localhost", "127.0.0.1:8080", ...others]) {
    assert.equal(find("/a", { host }), undefined, host);
  }
});

test("targetOf() finds a port in headers, and leaves to E2B's adapter what is its own", () => {
  const ours = { "syla-sandbox": id, "syla-port": "8000" };
  assert.deepEqual([find("/a", ours)?.way, find("/a", ours)?.path], ["header", "/a"]);
  const e2b = (port: string) => find("/a", { "e2b-sandbox-id": id, "e2b-sandbox-port": port });
  assert.equal(e2b("3000")?.way, "e2b");
  assert.deepEqual(
    [e2b("49983"), e2b("49999"), find("/a", { "e2b-sandbox-id": id })],
    [undefined, undefined, undefined],
  );
  for (const headers of [{ "syla-sandbox": id }, { ...ours, "syla-port": "x" }]) {
    assert.throws(() => find("/a", headers), { code: "invalid_request" });
  }
  // What the address says goes before what a page can choose.
  const host = `9000-${id}.localhost`;
  assert.equal(find("/", { ...ours, host })?.port, 9000);
  assert.equal(find(`/s/${id}/9000/`, ours)?.port, 9000);
});

test("takeSecrets() takes ours out of a query and leaves the rest as it was written", () => {
  const plain = { token: "", ticket: "" };
  for (const path of ["/a", "/a?token=x&ticket=y", "/syla_token=x", "/a?b=syla_token=x"]) {
    assert.deepEqual(takeSecrets(path), { path, ...plain });
  }
  const taken = takeSecrets("/a?b=%20+&syla_token=x&c&syla_ticket=y");
  assert.deepEqual(taken, { path: "/a?b=%20+&c", token: "x", ticket: "y" });
  assert.equal(takeSecrets("/a?syla_token=x").path, "/a");
  assert.equal(takeSecrets("/a?syla_token=x&syla_token=y").path, "/a");
});

test("onOrigin() lets no path lead to another host", () => {
  assert.equal(onOrigin("//evil.test/a"), "/evil.test/a");
  assert.equal(onOrigin("/\\evil.test"), "/evil.test");
  assert.equal(onOrigin("/a//b"), "/a//b");
});
