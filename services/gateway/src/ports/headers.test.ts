import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { accessCookie, cookiesFor, setCookieFor, ticketCookie, ticketIn } from "./cookies.ts";
import { endToEnd, flat } from "./headers.ts";
import { requestHead, upgradeHead } from "./request-head.ts";
import { documentSandbox, responseHead, within } from "./response-head.ts";
import type { Target } from "./target.ts";

const id = "0197a2c4-7b1e-7c3d-9a53-2f6d1c0b8e47";
const prefix = `/s/${id}/8000`;
const byPath: Target = { sandbox: id, port: 8000, way: "path", prefix, path: "/", bare: false };
const byHost: Target = { ...byPath, way: "host", prefix: "" };
const byHeader: Target = { ...byPath, way: "header", prefix: "" };
const byE2b: Target = { ...byPath, way: "e2b", prefix: "" };

// As Node has one that came, with the headers given by name.
function message(headers: readonly (readonly [string, string])[], more: object = {}) {
  const byName = headers.map(([name, value]) => [name.toLowerCase(), value]);
  const given = { rawHeaders: headers.flat(), headers: Object.fromEntries(byName) };
  return { ...given, method: "GET", socket: { remoteAddress: "192.0.2.1" }, ...more };
}
const parseMessage = (value: unknown) => value as IncomingMessage;
const requestOf = (headers: readonly (readonly [string, string])[], more: object = {}) =>
  parseMessage(message(headers, more));

test("endToEnd() keeps what is repeated, and drops what is of the connection or named by it", () => {
  const raw = ["X-A", "1", "x-a", "2", "Connection", "X-B, Content-Length", "X-B", "3"];
  raw.push("Keep-Alive", "5", "TE", "trailers", "Upgrade", "h2c", "Content-Length", "4");
  assert.deepEqual(flat(endToEnd(raw)), ["X-A", "1", "x-a", "2", "Content-Length", "4"]);
});

test("requestHead() gives a server nothing that lets its bearer in anywhere", () => {
  const key = `syla_${"a".repeat(64)}`;
  const secret = [
    ["Authorization", `Bearer ${key}`],
    ["X-API-Key", key.replace("syla", "e2b")],
    ["X-Custom", key],
    ["Syla-Port-Token", "t"],
    ["E2b-Traffic-Access-Token", "t"],
    ["E2b-Sandbox-Id", id],
    ["Cookie", `${accessCookie}=ticket`],
    ["X-Access-Token", "t"],
  ] as const;
  for (const target of [byPath, byHost, byHeader, byE2b]) {
    const head = requestHead(requestOf(secret.slice(0, target === byE2b ? 8 : 7)), target).join(
      " ",
    );
    assert.doesNotMatch(head, /syla_[0-9a-f]|e2b_|token|ticket|syla_port/i, target.way);
  }
  const own = [
    ["Authorization", "Bearer mine"],
    ["X-Access-Token", "mine"],
  ] as const;
  assert.match(requestHead(requestOf(own), byPath).join(" "), /Bearer mine X-Access-Token mine/);
});

test("requestHead() says where the request came from, and lets nobody say it before", () => {
  const headers = [
    ["Host", "127.0.0.1:8080"],
    ["X-Forwarded-Prefix", "/else"],
    ["Forwarded", "for=1.2.3.4"],
    ["X-Forwarded-For", "198.51.100.1"],
    ["X-Forwarded-Proto", "https"],
  ] as const;
  assert.deepEqual(requestHead(requestOf(headers), byPath), [
    ...["Host", "localhost:8000", "X-Forwarded-For", "198.51.100.1, 192.0.2.1"],
    ...["X-Forwarded-Host", "127.0.0.1:8080", "X-Forwarded-Proto", "https"],
    ...["X-Forwarded-Prefix", prefix, "Connection", "close"],
  ]);
});

test("requestHead() gives a server's own page the origin that it has for itself, and to no other page", () => {
  const [own, inside] = [`http://8000-${id}.localhost:8080`, "http://localhost:8000"];
  const told = (
    target: Target,
    origin: string,
    more: readonly (readonly [string, string])[] = [],
  ) => {
    const headers = [["Host", own.slice(7)], ["Origin", origin], ...more] as const;
    const head = requestHead(requestOf(headers), target);
    return ["Origin", "X-Forwarded-Host"].map((name) => head[head.indexOf(name) + 1]);
  };
  assert.deepEqual(told(byHost, own), [inside, "localhost:8000"]);
  assert.deepEqual(told(byHost, own.toUpperCase()), [inside, "localhost:8000"]);
  const secure = [["X-Forwarded-Proto", "https"]] as const;
  const secured = told(byHost, own.replace("http", "https"), secure);
  assert.deepEqual(secured, ["https://localhost:8000", "localhost:8000"]);
  for (const other of ["https://a.test", "null", own.replace("8000", "80"), `${own}0`]) {
    assert.deepEqual(told(byHost, other), [other, own.slice(7)]);
  }
  // What is at that port of the reader's own machine is another.
  assert.deepEqual(told(byHost, inside), ["null", own.slice(7)]);
  assert.equal(told(byHost, inside, secure)[0], "null");
  for (const target of [byPath, byHeader, byE2b]) assert.equal(told(target, own)[0], own);
  const referer = requestHead(
    requestOf([
      ["Host", own.slice(7)],
      ["Referer", `${own}/A?b`],
    ]),
    byHost,
  );
  assert.equal(referer[referer.indexOf("Referer") + 1], `${inside}/A?b`);
});

test("requestHead() tells the end of a body in one way", () => {
  const end = (headers: readonly (readonly [string, string])[], method: string) =>
    requestHead(requestOf(headers, { method }), byPath)
      .join(" ")
      .match(/Content-Length \d+|Transfer-Encoding \w+/g);
  assert.deepEqual(end([["Content-Length", "5"]], "POST"), ["Content-Length 5"]);
  assert.deepEqual(end([["Transfer-Encoding", "chunked"]], "POST"), ["Transfer-Encoding chunked"]);
  assert.deepEqual(end([], "POST"), ["Content-Length 0"]);
  assert.equal(end([], "GET"), null);
  assert.throws(() => end([["Transfer-Encoding", "gzip, chunked"]], "POST"), /transfer coding/);
  const handshake = upgradeHead(
    requestOf([
      ["Content-Length", "5"],
      ["Upgrade", "x"],
    ]),
    byPath,
  );
  assert.deepEqual(handshake.slice(-4), ["Connection", "Upgrade", "Upgrade", "websocket"]);
  assert.doesNotMatch(handshake.join(" "), /Content-Length/);
});

test("cookies have names and a path of their own below a path, and no server sees another's", () => {
  const set = (target: Target, value: string) => setCookieFor(target, value);
  assert.equal(set(byPath, "a=1"), `syla_s_a=1; Path=${prefix}/`);
  assert.equal(
    set(byPath, "a=1; Domain=x.test; path=/in; HttpOnly"),
    `syla_s_a=1; HttpOnly; Path=${prefix}/in`,
  );
  assert.equal(set(byPath, `a=1; Path=${prefix}/in`), `syla_s_a=1; Path=${prefix}/in`);
  assert.equal(set(byPath, "__Host-a=1; Secure"), `syla_s_a=1; Secure; Path=${prefix}/`);
  assert.equal(set(byPath, "a=1; Path=/a; Path=/b"), `syla_s_a=1; Path=${prefix}/a`);
  assert.equal(set(byHost, "a=1; Domain=localhost; Path=/in"), "a=1; Path=/in");
  for (const target of [byPath, byHost, byHeader]) {
    for (const value of [`${accessCookie}=x`, ` ${accessCookie} =x`, `=${accessCookie}=x`, "a"]) {
      assert.equal(set(target, value), undefined, `${target.way} ${value}`);
    }
  }
  const jar = `other=1; ${accessCookie}=t; syla_s_a=2; syla_s_${accessCookie}=3`;
  assert.equal(cookiesFor(byPath, jar), `a=2; ${accessCookie}=3`);
  assert.equal(cookiesFor(byHost, jar), `other=1; syla_s_a=2; syla_s_${accessCookie}=3`);
  assert.equal(ticketIn(jar), "t");
  assert.equal(ticketIn("not_syla_port=t"), "");
  const cookie = ticketCookie(byPath, "t", { seconds: 5, secure: true });
  assert.equal(cookie, `syla_port=t; Path=${prefix}/; Max-Age=5; HttpOnly; SameSite=Lax; Secure`);
});

const farReaching = [
  ["Service-Worker-Allowed", "/"],
  ["Clear-Site-Data", "*"],
  ["Strict-Transport-Security", "max-age=1"],
  ["Alt-Svc", "h3"],
  ["Report-To", "{}"],
  ["NEL", "{}"],
  ["Use-As-Dictionary", "match=/*"],
] as const;

test("responseHead() shuts a document in where its origin is not its own, whatever it says itself", () => {
  const own = ["Content-Security-Policy", "sandbox allow-same-origin"] as const;
  const answer = requestOf([...farReaching, own, ["WWW-Authenticate", "Basic"]]);
  for (const target of [byPath, byHeader, byE2b]) {
    const head = responseHead(requestOf([]), answer, target);
    const names = head.map(([name]) => name);
    for (const [name] of farReaching) assert.ok(!names.includes(name), `${target.way} ${name}`);
    const policies = head.filter(([name]) => name === "Content-Security-Policy");
    // Both hold for a browser: what either forbids is forbidden.
    assert.deepEqual(
      policies.map(([, value]) => value),
      [own[1], documentSandbox],
    );
    assert.equal(names.includes("WWW-Authenticate"), target !== byPath);
    assert.equal(names.includes("Vary"), target !== byPath);
  }
  assert.doesNotMatch(documentSandbox, /same-origin|top-navigation|escape/);
  const free = responseHead(requestOf([]), answer, byHost).map(([name]) => name);
  assert.ok(free.includes("Service-Worker-Allowed"));
  assert.ok(!free.includes("Strict-Transport-Security") && !free.includes("Alt-Svc"));
});

test("responseHead() lets a name of its own clear what is of its origin, and no cookies of its domain", () => {
  const cleared = (value: string) =>
    responseHead(requestOf([]), requestOf([["Clear-Site-Data", value]]), byHost)
      .filter(([name]) => name === "Clear-Site-Data")
      .map(([, kept]) => kept);
  assert.deepEqual(cleared('"cache", "storage"'), ['"cache", "storage"']);
  for (const value of ['"*"', '"cookies"', '"cache", "cookies"']) {
    assert.deepEqual(cleared(value), [], value);
  }
});

test("responseHead() tells no length where there is no content", () => {
  const lengths = (statusCode: number) =>
    responseHead(
      requestOf([]),
      requestOf([["Content-Length", "5"]], { statusCode }),
      byPath,
    ).filter(([name]) => name === "Content-Length").length;
  assert.deepEqual([lengths(200), lengths(204), lengths(304)], [1, 0, 1]);
});

test("responseHead() sets no cookies for a page that named the port in a header", () => {
  const answer = requestOf([["Set-Cookie", "a=1"]]);
  const cookies = (request: readonly (readonly [string, string])[], target: Target) =>
    responseHead(requestOf(request), answer, target).filter(([name]) => name === "Set-Cookie");
  assert.equal(cookies([], byHeader).length, 1);
  assert.equal(cookies([["Origin", "http://a.test"]], byHeader).length, 0);
  assert.equal(cookies([["Sec-Fetch-Mode", "cors"]], byE2b).length, 0);
  assert.equal(cookies([["Sec-Fetch-Mode", "navigate"]], byPath).length, 1);
});

test("within() keeps a redirect below the prefix when it leads to the server itself", () => {
  const to = (value: string) => within(byPath, value);
  assert.equal(to("/a?b#c"), `${prefix}/a?b#c`);
  assert.equal(to(`${prefix}/a`), `${prefix}/a`);
  assert.equal(to(`${prefix}0/a`), `${prefix}${prefix}0/a`);
  assert.equal(to("http://localhost:8000/a?b"), `${prefix}/a?b`);
  assert.equal(to("https://127.0.0.1:8000"), `${prefix}/`);
  for (const elsewhere of ["b", "?a", "//a.test/", "/\\a.test", "https://a.test/", "mailto:a@b"]) {
    assert.equal(to(elsewhere), elsewhere);
  }
  assert.equal(to("http://localhost:9000/"), "http://localhost:9000/");
  for (const same of ["/a", "a", "//a.test/", "http://localhost:9000/"]) {
    assert.equal(within(byHost, same), same);
  }
  assert.equal(within(byHost, "http://localhost:8000/a?b#c"), "/a?b#c");
  assert.equal(within(byHost, "http://localhost:8000//a.test/b"), "/a.test/b");
  assert.equal(within(byHeader, "http://localhost:8000/a"), "http://localhost:8000/a");
});
