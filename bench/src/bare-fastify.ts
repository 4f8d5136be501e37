// The peer of the REST benchmark: a bare Fastify route that answers the JSON it is given.
import Fastify from "fastify";

const answer: unknown = JSON.parse(process.argv[2] ?? "{}");
const server = Fastify();
server.get("/", async () => answer);
const url = await server.listen({ host: "127.0.0.1", port: 0 });
process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`);
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
