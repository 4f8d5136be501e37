// A foreign client: grpc-js with descriptors it asked the server for, knowing nothing of this repository's code.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  StatusSchema,
} from "@syla/contract/google/rpc/error_details";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { startGrpc } from "./grpc.ts";
import { createSharedPort } from "../socket.ts";
import {
  createSurfaceFixture,
  handlersEnded,
  knownId,
  unknownId,
  until,
} from "../surface-fixture.ts";

const protoFolder = fileURLToPath(new URL("../../../../contract/proto/", import.meta.url));

type Call = (...args: unknown[]) => grpc.ClientDuplexStream<unknown, unknown>;
type ForeignClient = Readonly<Record<string, Call>> & grpc.Client;

function clientOf(
  definition: loader.PackageDefinition,
  name: string,
  address: string,
): ForeignClient {
  const service = definition[name];
  assert.ok(service !== undefined && !("format" in service));
  const Constructor = grpc.makeGenericClientConstructor(parseService(service), name);
  return parseClient(new Constructor(address, grpc.credentials.createInsecure()));
}

function parseService(service: object): grpc.ServiceDefinition {
  return service as grpc.ServiceDefinition;
}

function parseClient(client: object): ForeignClient {
  return client as ForeignClient;
}

function call(client: ForeignClient, name: string, ...args: unknown[]) {
  const method = client[name];
  assert.ok(method);
  return method.call(client, ...args);
}

interface Answer {
  readonly error: grpc.ServiceError | null;
  readonly value: Readonly<Record<string, unknown>>;
}

function ask(client: ForeignClient, name: string, request: object): Promise<Answer> {
  return new Promise((resolve) => {
    call(client, name, request, (error: grpc.ServiceError | null, value = {}) =>
      resolve({ error, value }),
    );
  });
}

/** One question to the reflection service of a version, by its .proto alone. */
async function reflect(address: string, version: string, question: object) {
  const name = `grpc.reflection.${version}.ServerReflection`;
  const file = `grpc/reflection/${version}/reflection.proto`;
  const client = clientOf(loader.loadSync(file, { includeDirs: [protoFolder] }), name, address);
  const stream = call(client, "ServerReflectionInfo");
  stream.write(question);
  const answer = await new Promise<ReflectionAnswer>((resolve, reject) => {
    stream.once("data", resolve);
    stream.once("error", reject);
  });
  stream.end();
  client.close();
  return answer;
}

interface ReflectionAnswer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse?: { readonly errorCode: number };
}

// A FileDescriptorSet is its files one after the other, each as field 1.
function fileSet(files: readonly Buffer[]): Buffer {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
  return Buffer.concat(files.flatMap((file) => [Buffer.from([10, ...varint(file.length)]), file]));
}

describe("gRPC on the shared port", async () => {
  const { dispatcher, log } = createSurfaceFixture();
  const server = await startGrpc(dispatcher);
  const quick = { connectionsCheckingInterval: 100, headersTimeout: 300 };
  const http = createServer(quick, (_, response) => response.end("http"));
  const port = await createSharedPort({
    http,
    grpc: server,
    host: "127.0.0.1",
    port: 0,
    firstBytesMs: 200,
  });
  const address = `127.0.0.1:${port.port}`;
  const symbol = { fileContainingSymbol: "syla.execution.v1.ExecutionService" };
  const { fileDescriptorResponse } = await reflect(address, "v1", symbol);
  const set = fileSet(fileDescriptorResponse?.fileDescriptorProto ?? []);
  const definition = loader.loadFileDescriptorSetFromBuffer(set);
  const client = clientOf(definition, "syla.execution.v1.ExecutionService", address);
  after(async () => {
    client.close();
    server.close();
    await port.close();
  });

  test("answers a client whose descriptors came by reflection", async () => {
    const { error, value } = await ask(client, "GetExecution", { id: knownId });
    assert.equal(error, null);
    assert.equal(value["stdout"], "42\n");
  });

  test("sends an error with its facts in the details", async () => {
    const { error } = await ask(client, "GetExecution", { id: "no uuid" });
    assert.equal(error?.code, grpc.status.INVALID_ARGUMENT);
    const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
    assert.ok(bytes instanceof Buffer);
    const { details } = fromBinary(StatusSchema, bytes);
    const [info, bad] = details;
    assert.ok(info && bad);
    assert.equal(anyUnpack(info, ErrorInfoSchema)?.reason, "invalid_request");
    assert.equal(anyUnpack(bad, BadRequestSchema)?.fieldViolations[0]?.field, "/id");
    const missing = await ask(client, "GetExecution", { id: unknownId });
    assert.equal(missing.error?.code, grpc.status.NOT_FOUND);
  });

  test("streams, and a cancelled stream ends the handler", async () => {
    const request = { spec: { language: "python", code: "hang" } };
    const stream = call(client, "ExecuteStream", request);
    let seen = 0;
    stream.on("error", () => undefined);
    stream.on("data", () => (seen += 1));
    await until(() => seen === 5, "five events came");
    stream.cancel();
    await handlersEnded(log);
  });

  test("whose client's connection is cut ends the handler", async () => {
    const other = clientOf(definition, "syla.execution.v1.ExecutionService", address);
    const stream = call(other, "ExecuteStream", { spec: { language: "python", code: "hang" } });
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("data", resolve));
    other.close();
    stream.cancel();
    await handlersEnded(log);
  });

  test("holds a flooding handler back while the client does not read", async () => {
    const before = log.sent;
    const stream = call(client, "ExecuteStream", { spec: { language: "python", code: "flood" } });
    stream.on("error", () => undefined);
    // A grpc-js client that never read at all takes everything in; it holds back from its first message on.
    stream.once("data", () => stream.pause());
    await sleep(300);
    assert.ok(log.sent - before < 200, `${log.sent - before} messages were sent`);
    stream.cancel();
    await handlersEnded(log);
  });

  test("refuses a message over 4 MiB", async () => {
    const code = "x".repeat(5 * 1024 * 1024);
    const { error } = await ask(client, "Execute", { spec: { language: "python", code } });
    assert.equal(error?.code, grpc.status.RESOURCE_EXHAUSTED);
  });

  test("refuses bytes that are no message as an invalid request", async () => {
    const raw = new grpc.Client(address, grpc.credentials.createInsecure());
    const bytes = (value: Buffer) => value;
    const path = "/syla.execution.v1.ExecutionService/GetExecution";
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      raw.makeUnaryRequest(path, bytes, bytes, Buffer.from([0xff, 0xff]), resolve);
    });
    raw.close();
    assert.equal(error?.code, grpc.status.INVALID_ARGUMENT);
  });

  test("has no internal service, neither to call nor by reflection", async () => {
    for (const version of ["v1", "v1alpha"]) {
      const { listServicesResponse } = await reflect(address, version, { listServices: "" });
      const names = listServicesResponse?.service.map(({ name }) => name) ?? [];
      assert.ok(names.includes("syla.execution.v1.ExecutionService"));
      assert.ok(names.includes(`grpc.reflection.${version}.ServerReflection`));
      assert.ok(!names.some((name) => name.startsWith("syla.sandbox.")));
      const hidden = { fileContainingSymbol: "syla.sandbox.v1.RunnerService" };
      const { errorResponse } = await reflect(address, version, hidden);
      assert.equal(errorResponse?.errorCode, grpc.status.NOT_FOUND);
    }
    const raw = new grpc.Client(address, grpc.credentials.createInsecure());
    const bytes = (value: Buffer) => value;
    const path = "/syla.sandbox.v1.RunnerService/GetHost";
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      raw.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), resolve);
    });
    raw.close();
    assert.equal(error?.code, grpc.status.UNIMPLEMENTED);
  });

  test("leaves HTTP/1.1 to the HTTP server, also when the first bytes dribble", async () => {
    const response = await fetch(`http://${address}/`);
    assert.equal(await response.text(), "http");
    const socket = await open(port.port);
    for (const part of ["P", "RI", "VATE / HTTP/1.1\r\nHost: a\r\n\r\n"]) {
      socket.write(part);
      await sleep(5);
    }
    assert.match(String(await firstData(socket)), /^HTTP\/1.1 400/);
    socket.destroy();
  });

  test("closes a connection that says nothing, or only half of its headers", async () => {
    const silent = await open(port.port);
    await closed(silent, 2000);
    const half = await open(port.port);
    half.write("GET / HTTP/1.1\r\nHost:");
    half.resume();
    await closed(half, 60_000);
  });

  test("survives connections that are reset at any moment", async () => {
    const heads = [
      "",
      "P",
      "PRI ",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\r\n",
      "\u0000",
    ];
    for (const head of heads) {
      const socket = await open(port.port);
      socket.write(head);
      await sleep(10);
      socket.resetAndDestroy();
    }
    await sleep(20);
    const { error } = await ask(client, "GetExecution", { id: knownId });
    assert.equal(error, null);
  });
});

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });
}

function firstData(socket: Socket): Promise<Buffer> {
  return new Promise((resolve) => socket.once("data", resolve));
}

async function closed(socket: Socket, withinMs: number): Promise<void> {
  const end = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  const timer = sleep(withinMs, "late", { ref: false });
  assert.notEqual(await Promise.race([end, timer]), "late");
}
