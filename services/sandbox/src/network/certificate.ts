// A certificate authority that lives in memory, for one sandbox: it signs a certificate for each host whose requests
// the proxy has to see. Only written, never read, so a few lines of DER (ITU-T X.690) are all that it takes (RFC 5280).
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

const dayMs = 86_400_000;
const validDays = 365;
const hostsMax = 64;
const commonNameCharsMax = 64;

const OID = {
  commonName: "550403",
  ecdsaWithSha256: "2a8648ce3d040302",
  subjectKeyId: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  authorityKeyId: "551d23",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
} as const;

interface Request {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** One authority. */
export class CertificateAuthority {
  /** Its own certificate, in PEM. */
  readonly certificate: string;
  readonly #keys = makeKeys();
  /** One for all hosts: whoever had it could only be the proxy. */
  readonly #hostKeys = makeKeys();
  readonly #name: string;
  readonly #nowMs: number;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(name: string, nowMs: number) {
    this.#name = name;
    this.#nowMs = nowMs;
    this.certificate = this.#issue({
      subject: name,
      publicKey: this.#keys.publicKey,
      extensions: [
        extension(OID.basicConstraints, sequence(boolean(true), integer(Buffer.from([0]))), true),
        extension(OID.keyUsage, bits(Buffer.from([0x04]), 2), true), // to sign certificates
      ],
    });
  }

  /** What a TLS server needs to be a host. */
  contextOf(host: string): SecureContext {
    const known = this.#contexts.get(host);
    if (known !== undefined) return known;
    const cert = this.#issue({
      subject: host.length > commonNameCharsMax ? "host" : host,
      publicKey: this.#hostKeys.publicKey,
      extensions: [
        extension(OID.basicConstraints, sequence(), true),
        extension(OID.keyUsage, bits(Buffer.from([0x80]), 7), true), // to sign handshakes
        extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth))),
        extension(OID.subjectAltName, sequence(der(0x82, Buffer.from(host, "latin1")))),
      ],
    });
    const key = this.#hostKeys.privateKey.export({ type: "pkcs8", format: "pem" });
    const context = createSecureContext({ key, cert: cert + this.certificate });
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size >= hostsMax && oldest !== undefined) this.#contexts.delete(oldest);
    this.#contexts.set(host, context);
    return context;
  }

  #issue({ subject, publicKey, extensions }: Request): string {
    const algorithm = sequence(oid(OID.ecdsaWithSha256));
    const authority = sequence(der(0x80, keyId(this.#keys.publicKey)));
    const body = sequence(
      der(0xa0, integer(Buffer.from([2]))), // version 3
      integer(Buffer.concat([Buffer.from([0x40]), randomBytes(15)])), // positive, 16 bytes
      algorithm,
      nameOf(this.#name),
      sequence(time(this.#nowMs - dayMs), time(this.#nowMs + validDays * dayMs)),
      nameOf(subject),
      publicKey.export({ type: "spki", format: "der" }),
      der(
        0xa3,
        sequence(
          ...extensions,
          extension(OID.subjectKeyId, octets(keyId(publicKey))),
          extension(OID.authorityKeyId, authority),
        ),
      ),
    );
    const signature = sign("sha256", body, this.#keys.privateKey);
    return pem(sequence(body, algorithm, bits(signature, 0)));
  }
}

function makeKeys(): Keys {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function keyId(key: KeyObject): Buffer {
  const bytes = key.export({ type: "spki", format: "der" });
  return createHash("sha256").update(bytes).digest().subarray(0, 20);
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  return Buffer.from([0x82, length >> 8, length & 0xff]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes);
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0]));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function octets(content: Buffer): Buffer {
  return der(0x04, content);
}

function bits(bytes: Buffer, unused: number): Buffer {
  return der(0x03, Buffer.from([unused]), bytes);
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from(text)))));
}

/** UTCTime, which is for years before 2050; then GeneralizedTime. */
function time(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().replace(/[-:T]|\..*$/g, "")}Z`;
  return digits < "2050" ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}
