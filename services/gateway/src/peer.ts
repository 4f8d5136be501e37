// The other end of a WebSocket, of whatever protocol: sends that wait while the peer does not read, heartbeats that
// find out that it is gone, and no event that could end the process.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { SylaError } from "@syla/kit/error";
import { WebSocket, type WebSocketServer } from "ws";

const bufferedBytesMax = 1024 * 1024;
const pongsBytesMax = 4 * bufferedBytesMax;
// A close frame holds 123 bytes of reason; ours are ASCII.
const closeReasonCharsMax = 120;

const goingAway = 1001;

/** The other end of a WebSocket. */
export interface Peer {
  readonly protocol: string;
  /**
   * Sends a text or bytes, in the order they are given. Resolves to whether the peer is still there: at once while it
   * keeps up, else when it has read what was sent before.
   */
  send(data: string | Uint8Array): Promise<boolean>;
  /** Says good-bye after what was sent before. */
  close(code: number, reason: string): void;
  /** Called with each text; a binary frame ends the connection, unless somebody listens to those. */
  onText(listener: (text: string) => void): void;
  /** Called with each binary frame. */
  onBytes(listener: (bytes: Buffer) => void): void;
  /** Called once, however the connection ends. */
  onClose(listener: (code: number, reason: string) => void): void;
  /** The server stops: closes as soon as `isIdle` says so, and at each `rest` asks again. */
  leave(): void;
  /** How the protocol tells whether a call runs that is to be waited for; set by the protocol. */
  isIdle: () => boolean;
  /** Ends every call that runs, telling why; set by the protocol. */
  endCalls: (reason: SylaError) => void;
  /** Told by the protocol when a call has ended. */
  rest(): void;
}

/** A handshake that was let in. */
export interface Handshake {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Where the peer is listed while it is connected. */
  readonly peers: Set<Peer>;
}

/** How long a peer that broke a rule has to read why. */
const farewellMs = 1000;

/** Completes a handshake; `heartbeatMs` is how often the peer is asked for a sign of life. */
export function openPeer(
  server: WebSocketServer,
  { request, socket, head, peers }: Handshake,
  heartbeatMs: number,
  opened: (peer: Peer) => void,
): void {
  server.handleUpgrade(request, socket, head, (webSocket) => {
    // The library has answered with the reason; ended at once, the connection would be reset and the peer would not
    // read it.
    webSocket.on("error", () => {
      const timer = setTimeout(() => webSocket.terminate(), farewellMs);
      webSocket.once("close", () => clearTimeout(timer));
    });
    webSocket.on("ping", () => {
      // The library answers pings by itself, also those of a peer that never reads the answers.
      if (webSocket.bufferedAmount > pongsBytesMax) webSocket.terminate();
    });
    keepAlive(webSocket, heartbeatMs);
    const peer = toPeer(webSocket);
    peers.add(peer);
    webSocket.once("close", () => peers.delete(peer));
    opened(peer);
  });
}

function keepAlive(socket: WebSocket, heartbeatMs: number): void {
  let alive = true;
  socket.on("pong", () => {
    alive = true;
  });
  const timer = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, heartbeatMs);
  socket.once("close", () => clearInterval(timer));
}

function toPeer(socket: WebSocket): Peer {
  const send = sender(socket);
  let leaving = false;
  let takeBytes = (_bytes: Buffer) => socket.close(1003, "Only text is understood.");
  const peer: Peer = {
    protocol: socket.protocol,
    send,
    close: (code, reason) => socket.close(code, reason.slice(0, closeReasonCharsMax)),
    onText: (listener) => {
      socket.on("message", (data: Buffer, isBinary: boolean) => {
        if (isBinary) return takeBytes(data);
        listener(data.toString());
      });
    },
    onBytes: (listener) => {
      takeBytes = listener;
    },
    onClose: (listener) => {
      socket.once("close", (code: number, reason: Buffer) => listener(code, reason.toString()));
    },
    leave: () => {
      leaving = true;
      peer.rest();
    },
    isIdle: () => true,
    endCalls: () => undefined,
    rest: () => {
      if (leaving && peer.isIdle()) socket.close(goingAway, "The platform is stopping.");
    },
  };
  return peer;
}

// Once the bound is passed frames go out one after the other, each when the one before has left, so that no more than
// the bound and one frame are held here, however many calls share the connection.
function sender(socket: WebSocket): Peer["send"] {
  let last: Promise<boolean> = Promise.resolve(true);
  let waiting = 0;
  const flush = (data: string | Uint8Array) =>
    new Promise<boolean>((resolve) => {
      socket.send(data, (error) => {
        waiting -= 1;
        resolve(error === undefined || error === null);
      });
    });
  return (data) => {
    if (waiting === 0 && socket.bufferedAmount < bufferedBytesMax) {
      socket.send(data, () => undefined);
      return Promise.resolve(socket.readyState === WebSocket.OPEN);
    }
    waiting += 1;
    last = last.then(() => flush(data));
    return last;
  };
}
