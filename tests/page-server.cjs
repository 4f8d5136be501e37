// A web application for a sandbox, as a browser meets one: a page with styles, scripts, a picture and a form, which asks
// its own server by fetch, WebSocket and event stream, and writes down what came of it.
"use strict";
const { createHash } = require("node:crypto");
const http = require("node:http");

const page = `<!doctype html><title>page</title><link rel="stylesheet" href="style.css">
<h1>heading</h1><img src="picture.svg"><script src="script.js"></script><script type="module" src="/module.js"></script>
<form method="post" action="form"><button>send</button></form><a href="/elsewhere/">absolute</a>
<pre></pre><script>
const told = {};
const tell = (name, work) => work().then((value) => (told[name] = value), (error) => (told[name] = error.message))
  .then(() => (document.querySelector("pre").textContent = JSON.stringify(told)));
tell("relative", async () => (await fetch("text")).text());
tell("absolute", async () => (await fetch("/text")).text());
tell("redirected", async () => (await fetch("redirect")).text());
tell("cookie", async () => ((document.cookie = "page=1"), await fetch("cookie"), (await fetch("cookies")).text()));
tell("socket", () => new Promise((resolve, reject) => {
  const address = new URL("socket", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onmessage = ({ data }) => resolve(data);
  socket.onerror = () => reject(new Error("no socket"));
}));
tell("stream", () => new Promise((resolve, reject) => {
  const source = new EventSource("stream");
  source.onmessage = ({ data }) => (source.close(), resolve(data));
  source.onerror = () => reject(new Error("no stream"));
}));
</script>`;

const served = {
  "/": ["text/html", page],
  "/style.css": ["text/css", "h1 { color: rgb(1, 2, 3) }"],
  "/script.js": ["text/javascript", "document.title = 'scripted'"],
  "/module.js": ["text/javascript", "document.body.className = 'module'"],
  "/picture.svg": [
    "image/svg+xml",
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
  ],
  "/text": ["text/plain", "text"],
  "/cookie": ["text/plain", "", { "Set-Cookie": "server=1; Path=/; HttpOnly" }],
  // As frameworks do that build addresses of their host.
  "/redirect": ["text/plain", "", { Location: "http://localhost:8000/text" }, 302],
  "/form": ["text/plain", "", { Location: "/sent" }, 303],
  "/sent": ["text/html", "<title>sent</title>"],
  "/elsewhere/": ["text/html", "<title>elsewhere</title>"],
  "/stream": ["text/event-stream", "data: event\n\n"],
};

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/cookies") return response.end(request.headers.cookie);
  const [type, body, headers = {}, status = 200] = served[pathname] ?? ["text/plain", "", {}, 404];
  response.writeHead(status, { "Content-Type": type, ...headers }).end(body);
});

server.on("upgrade", ({ headers }, socket) => {
  const hash = createHash("sha1");
  hash.update(`${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
  lines.push(`Sec-WebSocket-Accept: ${hash.digest("base64")}`, "", "");
  socket.write(lines.join("\r\n"));
  // Many servers let in their own pages alone, which they know by this.
  const word = headers.origin === `http://${headers.host}` ? "own page" : "other page";
  socket.write(Buffer.from([0x81, word.length, ...Buffer.from(word)]));
});

server.listen(8000, "127.0.0.1", () => console.log("serving"));
