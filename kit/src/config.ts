// Settings come from the environment, else from a TOML file, else from their default. Each service declares its own;
// everything is read and held against the declarations once, at the start, and all that is wrong is told at once.
// What nobody declared is refused, because a misspelt setting that is ignored is worse than one that is wrong.
import { readFile } from "node:fs/promises";
import { parse as parseToml, TomlError } from "smol-toml";
import { SylaError } from "./error.ts";
import { nearest } from "./nearest.ts";
import {
  readSetting,
  type Setting,
  type SettingValue,
  type ValueOf,
  variableOf,
} from "./setting.ts";

/** The settings of one service: name in code to declaration. */
export type Settings = Readonly<Record<string, Setting>>;

/** The values of declared settings. */
export type ConfigOf<S extends Settings> = { readonly [Name in keyof S]: ValueOf<S[Name]> };

type Definitions = Readonly<Record<string, Settings>>;
type ConfigsOf<D extends Definitions> = { readonly [Service in keyof D]: ConfigOf<D[Service]> };

/** Declares settings, keeping each one's exact type. */
export function defineSettings<const S extends Settings>(settings: S): S {
  return settings;
}

/** The configuration in which nothing is set; `undefined` where there is no default. */
export function defaultsOf<const S extends Settings>(settings: S): ConfigOf<S> {
  return parseSettings({ settings }, (setting) => setting.default).settings;
}

/** Where a configuration comes from. */
export interface ConfigSource {
  /** Default: that of the process. An empty variable counts as not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The TOML file's path; default: `SYLA_CONFIG`, else `syla.toml` if there is one in the working directory. */
  readonly file?: string;
  /** Variables `SYLA_*` that mean something though they are no settings. */
  readonly otherVariables?: readonly string[];
}

/**
 * The complete configuration of services: `loadConfig({ gateway: gatewaySettings }).gateway.port`. Throws
 * `invalid_configuration` with one line for each thing that is wrong.
 */
export async function loadConfig<const D extends Definitions>(
  definitions: D,
  source: ConfigSource = {},
): Promise<ConfigsOf<D>> {
  const { env = process.env, otherVariables = [] } = source;
  const file = await readConfigFile(source.file ?? (env["SYLA_CONFIG"] || undefined));
  const declared = Object.values(definitions).flatMap((settings) => Object.values(settings));
  const problems = [
    ...unknownKeys(file, declared),
    ...unknownVariables(env, declared, [...otherVariables, "SYLA_CONFIG"]),
  ];
  const config = parseSettings(definitions, (setting) => valueOf(setting, env, file, problems));
  if (problems.length > 0) throw new SylaError("invalid_configuration", problems.join("\n"));
  return config;
}

function mapValues<A, B>(
  record: Readonly<Record<string, A>>,
  map: (value: A) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}

// Built setting by setting from the same declarations that the type is computed from.
function parseSettings<D extends Definitions>(
  definitions: D,
  parse: (setting: Setting) => SettingValue | undefined,
): ConfigsOf<D> {
  return mapValues(definitions, (settings) => mapValues(settings, parse)) as ConfigsOf<D>;
}

interface ConfigFile {
  readonly path: string;
  /** Dotted key to value. */
  readonly values: ReadonlyMap<string, unknown>;
}

const defaultFile = "syla.toml";

async function readConfigFile(given: string | undefined): Promise<ConfigFile> {
  const path = given ?? defaultFile;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (given === undefined && isMissing) return { path, values: new Map() };
    throw unreadable(path, isMissing ? "there is no such file" : "it cannot be read", error);
  }
  try {
    return { path, values: new Map(flatten(parseToml(text), "")) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Its first line says what is wrong; the others print the file, which may hold secrets.
    const [what = ""] = error.message.split("\n");
    throw unreadable(path, `line ${error.line}, column ${error.column}: ${what}`, error);
  }
}

function unreadable(path: string, why: string, cause: unknown): SylaError {
  return new SylaError("invalid_configuration", `Cannot read the configuration ${path}: ${why}.`, {
    cause,
  });
}

function flatten(table: object, prefix: string): [string, unknown][] {
  return Object.entries(table).flatMap(([name, value]: [string, unknown]) => {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isTable && !(value instanceof Date)) return flatten(value, `${prefix}${name}.`);
    return [[`${prefix}${name}`, value]];
  });
}

function unknownKeys(file: ConfigFile, declared: readonly Setting[]): string[] {
  const keys = declared.map(({ key }) => key);
  return [...file.values.keys()]
    .filter((key) => !keys.includes(key))
    .map(
      (key) => `Cannot use ${key} in ${file.path}: there is no such setting.${suggest(key, keys)}`,
    );
}

function unknownVariables(
  env: Readonly<Record<string, string | undefined>>,
  declared: readonly Setting[],
  others: readonly string[],
): string[] {
  const known = [...declared.map(variableOf), ...others];
  return Object.keys(env)
    .filter((name) => name.startsWith("SYLA_") && !known.includes(name))
    .map(
      (name) => `Cannot use the variable ${name}: there is no such setting.${suggest(name, known)}`,
    );
}

function suggest(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? "" : ` Did you mean ${near}?`;
}

function valueOf(
  setting: Setting,
  env: Readonly<Record<string, string | undefined>>,
  file: ConfigFile,
  problems: string[],
): SettingValue | undefined {
  const variable = variableOf(setting);
  const fromEnv = env[variable];
  const isInEnv = fromEnv !== undefined && fromEnv !== "";
  const given = isInEnv ? fromEnv : file.values.get(setting.key);
  if (given === undefined) return setting.default;
  const reading = readSetting(setting, given);
  if (reading.kind === "value") return reading.value;
  const where = isInEnv ? variable : `${setting.key} in ${file.path}`;
  const shown = setting.secret === true ? "its value" : JSON.stringify(given);
  problems.push(`Cannot use ${shown} as ${where}: expected ${reading.expected}.`);
  return undefined;
}
