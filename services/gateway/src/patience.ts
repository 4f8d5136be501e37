// Requests that may take as long as they go on. A request has to arrive within its time, which a body of any size
// cannot promise; one that is read bit by bit is bounded by how long its next bit may take.
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

const patient = new WeakSet<Socket>();

/** Whether a socket's request is one of them. */
export function isPatient(socket: Socket): boolean {
  return patient.has(socket);
}

/** A request's body as it comes. A sender that is silent for `stallMs` while it is waited for is cut off. */
export async function* patientBody(
  request: IncomingMessage,
  stallMs: number,
): AsyncGenerator<Buffer> {
  const { socket } = request;
  patient.add(socket);
  // Destroying a request would take its connection, and with it the answer.
  const pieces: AsyncIterable<unknown> = request.iterator({ destroyOnReturn: false });
  const waiting = () => setTimeout(() => request.destroy(), stallMs);
  let stalled = waiting();
  try {
    for await (const piece of pieces) {
      clearTimeout(stalled);
      if (Buffer.isBuffer(piece)) yield piece;
      stalled = waiting();
    }
  } finally {
    clearTimeout(stalled);
    patient.delete(socket);
    // Nobody reads the rest, and its sender is to get to read the answer.
    request.resume();
  }
}
