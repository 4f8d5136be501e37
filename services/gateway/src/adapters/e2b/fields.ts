// Reads the JSON of E2B's requests field by field. A field that is not there has its zero, as in proto3; one of another
// type is the request's fault.
import type { JsonValue } from "@bufbuild/protobuf";
import { Refusal } from "./errors.ts";

/** The fields of a JSON object. */
export class Fields {
  readonly #object: Readonly<Record<string, JsonValue>>;

  constructor(value: JsonValue | undefined, what = "the body") {
    if (value === undefined || value === null) this.#object = {};
    else if (typeof value === "object" && !Array.isArray(value)) this.#object = value;
    else throw wrong(what, "an object");
  }

  /** Whether there is something under a name. */
  has(name: string): boolean {
    const value = this.#object[name];
    return value !== undefined && value !== null;
  }

  text(name: string): string {
    const value = this.#object[name] ?? "";
    if (typeof value !== "string") throw wrong(name, "a text");
    return value;
  }

  flag(name: string): boolean {
    const value = this.#object[name] ?? false;
    if (typeof value !== "boolean") throw wrong(name, "true or false");
    return value;
  }

  /** A whole number that is not negative. */
  count(name: string): number {
    const value = this.#object[name] ?? 0;
    const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0) {
      throw wrong(name, "a whole number that is not negative");
    }
    return number;
  }

  bytes(name: string): Buffer {
    return Buffer.from(this.text(name), "base64");
  }

  texts(name: string): string[] {
    const value = this.#object[name] ?? [];
    const items = Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
    if (!Array.isArray(value) || items.length < value.length) throw wrong(name, "a list of texts");
    return items;
  }

  /** An object of texts. */
  map(name: string): Record<string, string> {
    const inside = this.inside(name);
    return Object.fromEntries(inside.names().map((key) => [key, inside.text(key)]));
  }

  inside(name: string): Fields {
    return new Fields(this.#object[name], name);
  }

  /** A list of objects. */
  list(name: string): Fields[] {
    const value = this.#object[name] ?? [];
    if (!Array.isArray(value)) throw wrong(name, "a list of objects");
    return value.map((item) => new Fields(item, name));
  }

  names(): string[] {
    return Object.keys(this.#object);
  }
}

function wrong(what: string, expected: string): Refusal {
  return new Refusal("invalid_argument", `Cannot read the request: ${what} is not ${expected}.`);
}
