// gRPC with grpc-js as a foreign client: it knows the reflection service's .proto, and learns everything else from it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import { create, findByLabel, get } from "../api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const protoFolder = fileURLToPath(new URL("../../contract/proto/", import.meta.url));
// A client made of descriptors has the names of the .proto files, and takes a map as its entries.
const service = "syla.execution.v1.ExecutionService";
const options = { longs: String, enums: String, oneofs: true, defaults: true };
const endless = {
  language: "bash",
  code: "echo up; while :; do sleep 1; done",
  limits: { wall_time: { seconds: 600 } },
};

/** A method of a generated client: its arguments depend on its kind, which only the descriptors know. */
type Method = (...args: unknown[]) => grpc.ClientDuplexStream<unknown, unknown>;
type Foreign = Readonly<Record<string, Method>> & grpc.Client;
type Message = Readonly<Record<string, unknown>>;

function parseForeign(client: object): Foreign {
  return client as Foreign;
}

function parseDefinition(definition: object): grpc.ServiceDefinition {
  return definition as grpc.ServiceDefinition;
}

function parseMessage(value: unknown): Message {
  return value as Message;
}

function clientOf(definition: loader.PackageDefinition, name: string, address: string): Foreign {
  const found = definition[name];
  assert.ok(found !== undefined, `${name} is described`);
  const Constructor = grpc.makeGenericClientConstructor(parseDefinition(found), name);
  return parseForeign(new Constructor(address, grpc.credentials.createInsecure()));
}

function call(client: Foreign, name: string, ...args: unknown[]) {
  const method = client[name];
  assert.ok(method, `${name} is a method`);
  return method.apply(client, args);
}

/** A unary call. */
function ask(
  client: Foreign,
  name: string,
  request: object,
  metadata = new grpc.Metadata(),
): Promise<Message> {
  return new Promise((resolve, reject) => {
    call(client, name, request, metadata, (error: grpc.ServiceError | null, value: unknown) => {
      if (error === null) resolve(parseMessage(value));
      else reject(error);
    });
  });
}

async function failure(promise: Promise<unknown>): Promise<grpc.ServiceError> {
  return promise.then(
    () => assert.fail("the call succeeded"),
    (error: unknown) => parseError(error),
  );
}

function parseError(error: unknown): grpc.ServiceError {
  return error as grpc.ServiceError;
}

/** One question to the reflection service. */
async function reflect(address: string, question: object): Promise<Message> {
  const file = loader.loadSync("grpc/reflection/v1/reflection.proto", {
    includeDirs: [protoFolder],
    ...options,
  });
  const client = clientOf(file, "grpc.reflection.v1.ServerReflection", address);
  const stream = call(client, "ServerReflectionInfo");
  stream.write(question);
  const [answer] = await once(stream, "data");
  stream.end();
  client.close();
  return parseMessage(answer);
}

/** The client that a server describes. A FileDescriptorSet is its files one after another, each as field 1. */
async function discover(address: string): Promise<Foreign> {
  const { fileDescriptorResponse } = await reflect(address, { fileContainingSymbol: service });
  const files = parseFiles(parseMessage(fileDescriptorResponse)["fileDescriptorProto"]);
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
  const set = files.flatMap((file) => [Buffer.from([10, ...varint(file.length)]), file]);
  return clientOf(
    loader.loadFileDescriptorSetFromBuffer(Buffer.concat(set), options),
    service,
    address,
  );
}

function parseFiles(files: unknown): readonly Buffer[] {
  return files as readonly Buffer[];
}

const addresses = {
  "the shared port": () => new URL(platform().url).host,
  "gRPC's own port": () => platform().grpcAddress,
} as const;

for (const [where, address] of Object.entries(addresses)) {
  let discovered: Promise<Foreign> | undefined;
  const client = () => (discovered ??= discover(address()));
  after(async () => (await discovered)?.close());

  test(`${where}: reflection lists what is published and nothing internal`, async () => {
    const { listServicesResponse } = await reflect(address(), { listServices: "" });
    const names = JSON.stringify(listServicesResponse);
    for (const name of [service, "syla.repl.v1.ReplService", "grpc.health.v1.Health"]) {
      assert.ok(names.includes(name), `${name} is listed`);
    }
    assert.doesNotMatch(names, /runner/i);
  });

  test(`${where}: a unary call runs a program`, async () => {
    const spec = { language: "python", code: "import sys; print(sys.argv[1])", args: ["ünï"] };
    const {
      status,
      stdout,
      exit_code: exitCode,
      metrics,
    } = await ask(await client(), "Execute", { spec });
    assert.deepEqual([status, stdout, exitCode], ["SUCCEEDED", "ünï\n", 0]);
    assert.equal(parseMessage(metrics)["success"], true);
  });

  test(`${where}: a stream brings numbered events to the end`, async () => {
    const spec = { language: "bash", code: "echo one; sleep 0.1; echo two" };
    const events = (await call(await client(), "ExecuteStream", { spec }).toArray()).map(
      parseMessage,
    );
    assert.deepEqual(
      events.map(({ number }) => number),
      Array.from(events, (_, index) => index + 1),
    );
    const texts = events.flatMap(({ stdout }) => (stdout ? [parseMessage(stdout)["text"]] : []));
    assert.equal(texts.join(""), "one\ntwo\n");
    assert.equal(events.at(-1)?.["event"], "finished");
  });

  test(`${where}: errors come with their status, and the facts in details`, async () => {
    const unknown = await failure(
      ask(await client(), "GetExecution", { id: "00000000-0000-7000-8000-000000000000" }),
    );
    assert.equal(unknown.code, grpc.status.NOT_FOUND);
    const invalid = await failure(
      ask(await client(), "Execute", { spec: { language: "", code: "x" } }),
    );
    assert.equal(invalid.code, grpc.status.INVALID_ARGUMENT);
    const details = invalid.metadata.get("grpc-status-details-bin").join("");
    assert.match(details, /language/);
    const cobol = await failure(
      ask(await client(), "Execute", { spec: { language: "cobol", code: "x" } }),
    );
    assert.equal(cobol.code, grpc.status.INVALID_ARGUMENT);
    assert.match(cobol.details, /python/);
  });

  test(`${where}: a client that cancels its stream cancels the run`, async () => {
    const label = `grpc ${where}`;
    const stream = call(await client(), "ExecuteStream", {
      spec: { ...endless, metadata: [{ key: "label", value: label }] },
    });
    stream.on("error", () => undefined);
    for await (const event of stream) if (parseMessage(event)["event"] === "stdout") break;
    stream.cancel();
    await eventually("the run is cancelled", async () => {
      return (await findByLabel(platform(), label))?.status === "CANCELLED";
    });
  });

  test(`${where}: a client that stops watching does not disturb what it watched`, async () => {
    const { id } = await create(platform(), { ...endless, limits: { wallTime: "600s" } });
    const stream = call(await client(), "WatchExecution", { id });
    stream.on("error", () => undefined);
    for await (const event of stream) if (parseMessage(event)["event"] === "stdout") break;
    stream.cancel();
    assert.equal((await get(platform(), id)).status, "RUNNING");
    const { status } = await ask(await client(), "CancelExecution", { id });
    assert.equal(status, "CANCELLED");
  });

  test(`${where}: a deadline ends the call and the run`, async () => {
    const label = `grpc deadline ${where}`;
    const spec = { ...endless, metadata: [{ key: "label", value: label }] };
    const deadline = { deadline: Date.now() + 500 };
    const error = await failure(
      call(await client(), "ExecuteStream", { spec }, deadline).toArray(),
    );
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
    await eventually("the run is cancelled", async () => {
      return (await findByLabel(platform(), label))?.status === "CANCELLED";
    });
  });

  test(`${where}: a message of 3 MiB goes in and comes out`, async () => {
    const spec = {
      ...{ language: "bash", code: "cat", stdin: "x".repeat(2 * 1024 * 1024) },
      limits: { output_bytes: 4 * 1024 * 1024 },
    };
    const { stdout } = await ask(await client(), "Execute", { spec });
    assert.equal(String(stdout).length, 2 * 1024 * 1024);
  });

  test(`${where}: the health service says that it serves`, async () => {
    const file = loader.loadSync("grpc/health/v1/health.proto", {
      includeDirs: [protoFolder],
      ...options,
    });
    const health = clientOf(file, "grpc.health.v1.Health", address());
    assert.equal((await ask(health, "Check", { service: "" }))["status"], "SERVING");
    assert.equal((await ask(health, "Check", { service }))["status"], "SERVING");
    const nobody = await failure(ask(health, "Check", { service: "no.Such" }));
    assert.equal(nobody.code, grpc.status.NOT_FOUND);
    health.close();
  });
}
