import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { createClient } from "@syla/kit/client";
import { connectGrpc } from "@syla/kit/grpc-client";
import { startTestGateway } from "./gateway-fixture.ts";

const gateway = await startTestGateway();
after(() => gateway.close());

test("startGateway() answers REST, Connect, GraphQL, WebSocket and gRPC on one port", async () => {
  const { url } = gateway;
  const rest = await fetch(`${url}/api/v1/languages`);
  const connect = await fetch(`${url}/syla.execution.v1.ExecutionService/ListLanguages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.deepEqual(await connect.json(), await rest.json());
  const graphql = await fetch(`${url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ __typename }" }),
  });
  assert.deepEqual(await graphql.json(), { data: { __typename: "Query" } });
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws`);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  socket.close();
  for (const address of [new URL(url).host, gateway.grpcAddress]) {
    const connection = connectGrpc([ExecutionService], { address });
    const answer = await createClient(ExecutionService, connection).listLanguages({});
    assert.equal(answer.languages[0]?.name, "python");
    connection.close();
  }
});
