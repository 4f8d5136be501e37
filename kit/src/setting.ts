// One setting: how it is declared, and how a text of the environment or a value of the TOML file becomes its value.
// Durations become milliseconds and sizes bytes, so that no code that uses them knows how they were written.

interface Declared {
  /** Its place in the TOML file, `<section>.<name>`, lower case with underscores. */
  readonly key: string;
  /** Its environment variable; default `SYLA_` and the key in upper case (`server.host`: `SYLA_SERVER_HOST`). */
  readonly env?: string;
  /** What it does and why one would change it; one or two sentences. */
  readonly description: string;
  /** Never printed, neither in messages nor as a default. */
  readonly secret?: boolean;
  /** What the reference says of a default that is not the same everywhere, such as `follows the machine`. */
  readonly defaultNote?: string;
}

interface Bounded {
  readonly min?: number;
  readonly max?: number;
}

/** A declared setting. Without a default it is optional, and undefined when it is not set. */
export type Setting = Declared &
  (
    | { readonly type: "string"; readonly default?: string }
    | { readonly type: "bool"; readonly default?: boolean }
    | ({ readonly type: "int"; readonly unit?: string; readonly default?: number } & Bounded)
    /** `500ms`, `30s`, `5m`, `1h`, `7d`; the value is in milliseconds, and so are the default and the bounds. */
    | ({ readonly type: "duration"; readonly default?: number } & Bounded)
    /** `512`, `64KiB`, `256MiB`, `1GiB`, or with KB, MB, GB as powers of 1000; the value is in bytes. */
    | ({ readonly type: "bytes"; readonly default?: number } & Bounded)
    /** In the environment separated by commas; in TOML an array of texts. */
    | { readonly type: "list"; readonly default?: readonly string[] }
    | { readonly type: "enum"; readonly values: readonly string[]; readonly default?: string }
  );

/** What a setting can be worth. */
export type SettingValue = string | number | boolean | readonly string[];

/** The type of a setting's value, from its declaration. */
export type ValueOf<S extends Setting> =
  | (S extends { readonly type: "int" | "duration" | "bytes" } ? number : never)
  | (S extends { readonly type: "bool" } ? boolean : never)
  | (S extends { readonly type: "string" } ? string : never)
  | (S extends { readonly type: "list" } ? readonly string[] : never)
  | (S extends { readonly type: "enum"; readonly values: readonly (infer V)[] } ? V : never)
  | (S extends { readonly default: SettingValue } ? never : undefined);

/** A value, or why there is none, as `a whole number from 0 to 65535`. */
export type Reading =
  | { readonly kind: "value"; readonly value: SettingValue }
  | { readonly kind: "wrong"; readonly expected: string };

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** The environment variable of a setting. */
export function variableOf(setting: Setting): string {
  return setting.env ?? `SYLA_${setting.key.toUpperCase().replaceAll(".", "_")}`;
}

/** Reads a value as the environment (always a text) or TOML (a value of some type) has it. */
export function readSetting(setting: Setting, given: unknown): Reading {
  const value = convert(setting, given);
  const expected = expectation(setting);
  if (value === undefined || (typeof value === "number" && !inBounds(setting, value))) {
    return { kind: "wrong", expected };
  }
  return { kind: "value", value };
}

function convert(setting: Setting, given: unknown): SettingValue | undefined {
  switch (setting.type) {
    case "string":
      return typeof given === "string" ? given : undefined;
    case "bool":
      return typeof given === "string" ? { true: true, false: false }[given] : bool(given);
    case "int":
      return wholeNumber(given);
    case "duration":
      return quantity(given, durationUnits);
    case "bytes":
      return wholeNumber(given) ?? quantity(given, sizeUnits);
    case "list":
      return listOf(given);
    case "enum":
      return setting.values.find((value) => value === given);
  }
}

function bool(given: unknown): boolean | undefined {
  return typeof given === "boolean" ? given : undefined;
}

function wholeNumber(given: unknown): number | undefined {
  if (typeof given === "string" && !/^-?\d{1,15}$/.test(given)) return undefined;
  const number = typeof given === "string" || typeof given === "number" ? Number(given) : NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

function quantity(given: unknown, units: Readonly<Record<string, number>>): number | undefined {
  const text = typeof given === "string" ? given : "";
  const [, amount, unit = ""] = /^(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return amount === undefined || factor === undefined
    ? undefined
    : Math.round(Number(amount) * factor);
}

function listOf(given: unknown): readonly string[] | undefined {
  if (typeof given === "string") {
    return given
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  }
  const isList = Array.isArray(given) && given.every((item) => typeof item === "string");
  return isList ? given : undefined;
}

function inBounds(setting: Setting, value: number): boolean {
  if (!("min" in setting || "max" in setting)) return true;
  return value >= (setting.min ?? -Infinity) && value <= (setting.max ?? Infinity);
}

function expectation(setting: Setting): string {
  const nouns: Readonly<Record<Setting["type"], string>> = {
    string: "a text",
    bool: "true or false",
    int: "a whole number",
    duration: "a duration such as 500ms, 30s, 5m or 1h",
    bytes: "a size such as 512, 64KiB or 256MiB",
    list: "a list of texts",
    enum: "one of its values",
  };
  if (setting.type === "enum") return `one of ${setting.values.join(", ")}`;
  return nouns[setting.type] + boundsText(setting);
}

/** The bounds of a setting as people write them, as ` from 1s to 1h`; empty without any. */
export function boundsText(setting: Setting): string {
  if (!("min" in setting || "max" in setting)) return "";
  const { min, max } = setting;
  const from = min === undefined ? "" : ` from ${writeValue(setting, min)}`;
  return max === undefined ? from : `${from} to ${writeValue(setting, max)}`;
}

/** A value as people write it: `30s` for 30000 ms, `64MiB` for 67108864 bytes. */
export function writeValue(setting: Setting, value: SettingValue): string {
  if (Array.isArray(value)) return value.join(",");
  if (typeof value !== "number") return String(value);
  if (setting.type === "duration") return largestUnit(value, durationUnits, "0s");
  if (setting.type === "bytes") return largestUnit(value, sizeUnits, "0");
  return String(value);
}

function largestUnit(value: number, units: Readonly<Record<string, number>>, zero: string): string {
  if (value === 0) return zero;
  const fits = Object.entries(units).filter(([, factor]) => value % factor === 0);
  const [unit, factor] = fits.reduce((best, entry) => (entry[1] > best[1] ? entry : best), ["", 0]);
  return `${value / factor}${unit === "B" ? "" : unit}`;
}
