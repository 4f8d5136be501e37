import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { type AddressInfo } from "node:net";
import { connect, createServer } from "node:tls";
import { CertificateAuthority } from "./certificate.ts";

test("CertificateAuthority signs for a host what a client takes for that host alone", async () => {
  const authority = new CertificateAuthority("a test", Date.now());
  const own = new X509Certificate(authority.certificate);
  assert.ok(own.ca && own.verify(own.publicKey) && own.subject === "CN=a test");
  const server = createServer({
    SNICallback: (name, done) => done(null, authority.contextOf(name.replace("lies", "truth"))),
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = parseAddress(server.address());
  const long = `${"a".repeat(63)}.${"b".repeat(63)}.test`;
  const tried = async (servername: string, ca: string) => {
    const socket = connect({ port, host: "127.0.0.1", servername, ca });
    const [outcome]: unknown[] = await Promise.race([
      once(socket, "secureConnect").then(() => ["trusted"]),
      once(socket, "error").catch((error: NodeJS.ErrnoException) => [error.code]),
    ]).catch((error: NodeJS.ErrnoException) => [error.code]);
    socket.destroy();
    return outcome instanceof Error && "code" in outcome ? outcome.code : outcome;
  };
  assert.equal(await tried("truth.test", authority.certificate), "trusted");
  assert.equal(await tried(long, authority.certificate), "trusted");
  assert.equal(await tried("lies.test", authority.certificate), "ERR_TLS_CERT_ALTNAME_INVALID");
  const other = new CertificateAuthority("a test", Date.now()).certificate;
  assert.notEqual(await tried("truth.test", other), "trusted");
  server.close();
});

function parseAddress(address: AddressInfo | string | null): AddressInfo {
  return address as AddressInfo;
}
