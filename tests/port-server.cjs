// A server for a sandbox, as the tests of ports need it: it tells what came, sends and takes as much as is asked for,
// and says what a hostile one would. Nothing but Node's own modules is in a sandbox.
"use strict";
const { createHash } = require("node:crypto");
const http = require("node:http");

const hostile = {
  "Set-Cookie": [
    "plain=1; Path=/; Domain=127.0.0.1",
    "__Host-wide=2; Path=/; Secure",
    "syla_port=x",
  ],
  "Service-Worker-Allowed": "/",
  "Clear-Site-Data": '"*"',
  "Strict-Transport-Security": "max-age=31536000",
  "Alt-Svc": 'h3=":443"',
  "Content-Security-Policy": "sandbox allow-same-origin allow-scripts",
  "WWW-Authenticate": 'Basic realm="Syla"',
  "Report-To": "{}",
  Connection: "close, X-Hop",
  "X-Hop": "1",
  "X-Mine": "kept",
};

const served = {
  "/tell": (request, response) => {
    const { method, url, rawHeaders } = request;
    response.end(JSON.stringify({ method, url, rawHeaders }));
  },
  "/count": (request, response) => {
    const hash = createHash("sha256");
    let bytes = 0;
    request.on("data", (chunk) => ((bytes += chunk.length), hash.update(chunk)));
    request.on("end", () => response.end(JSON.stringify({ bytes, hash: hash.digest("hex") })));
  },
  "/large": (request, response) => {
    const [, length] = request.url.split("?");
    let left = Number(length);
    const more = () => {
      for (;;) {
        if (left === 0) return response.end();
        const piece = Buffer.alloc(Math.min(left, 65_536), "x");
        left -= piece.length;
        if (!response.write(piece)) return response.once("drain", more);
      }
    };
    more();
  },
  // What has gone into the connection; who does not read holds it up.
  "/sent": (request, response) => response.end(String(flood)),
  "/flood": (request, response) => {
    const piece = Buffer.alloc(65_536, "x");
    const more = () => {
      for (;;) {
        flood += piece.length;
        if (!response.write(piece)) return response.once("drain", more);
      }
    };
    response.on("close", () => (closed += 1));
    more();
  },
  "/closed": (request, response) => response.end(String(closed)),
  "/events": (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("data: one\n\n");
    request.socket.once("close", () => (closed += 1));
    next = () => response.write("data: two\n\n");
  },
  "/next": (request, response) => {
    next();
    response.end();
  },
  "/hostile": (request, response) => response.writeHead(200, hostile).end("<script>"),
  "/to": (request, response) => {
    response.writeHead(302, { Location: request.url.slice(request.url.indexOf("?") + 1) }).end();
  },
  "/early": (request, response) =>
    response.writeHead(413, { Connection: "close" }).end("too large"),
  "/silent": () => {},
  "/nonsense": (request) => request.socket.end("this is no HTTP\r\n\r\n"),
  "/short": (request, response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("some", () => request.socket.destroy());
  },
  "/head": (request, response) => response.writeHead(200, { "X-Long": "x".repeat(60_000) }).end(),
  "/reach": (request, response) => reach(Number(request.url.split("?")[1]), response),
};
let flood = 0;
let closed = 0;
let next = () => {};

function reach(port, response) {
  const request = http.get({ host: "127.0.0.1", port, path: "/health" }, (answer) => {
    answer.resume();
    response.end(`answered ${answer.statusCode}`);
  });
  request.on("error", (error) => response.end(error.code));
}

const server = http.createServer((request, response) => {
  const serve = served[request.url.split("?")[0]];
  if (serve === undefined) return response.writeHead(404).end(`nothing at ${request.url}`);
  serve(request, response);
});
// Sends back what it gets, frame by frame, unmasked.
server.on("upgrade", (request, socket) => {
  if (request.url.startsWith("/refused"))
    return socket.end("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
  const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const hash = createHash("sha1").update(request.headers["sec-websocket-key"] + guid);
  const head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"];
  head.push(`Sec-WebSocket-Accept: ${hash.digest("base64")}`, `Clear-Site-Data: "storage"`, "", "");
  socket.write(head.join("\r\n"));
  let held = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("end", () => socket.end());
  socket.on("close", () => (closed += 1));
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    for (let frame = take(); frame !== undefined; frame = take()) socket.write(frame);
  });
  const take = () => {
    if (held.length < 6) return undefined;
    const long = (held[1] & 127) === 126;
    const length = long ? held.readUInt16BE(2) : held[1] & 127;
    const start = long ? 4 : 2;
    if (held.length < start + 4 + length) return undefined;
    const mask = held.subarray(start, start + 4);
    const data = held
      .subarray(start + 4, start + 4 + length)
      .map((byte, at) => byte ^ mask[at % 4]);
    const said = Buffer.concat([
      Buffer.from([held[0], held[1] & 127]),
      held.subarray(2, start),
      data,
    ]);
    held = held.subarray(start + 4 + length);
    return said;
  };
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
