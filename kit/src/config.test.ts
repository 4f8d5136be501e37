import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { defaultsOf, defineSettings, loadConfig } from "./config.ts";
import { readSetting, type Setting, writeValue } from "./setting.ts";
import { renderSettings } from "./settings-reference.ts";

const server = defineSettings({
  host: {
    key: "server.host",
    env: "SERVER_HOST",
    type: "string",
    default: "127.0.0.1",
    description: "Where to listen.",
  },
  port: {
    key: "server.port",
    env: "REST_PORT",
    type: "int",
    default: 8080,
    min: 0,
    max: 65_535,
    description: "The port of everything but native gRPC.",
  },
  drain: {
    key: "server.drain",
    type: "duration",
    default: 10_000,
    min: 0,
    description: "Patience.",
  },
  body: { key: "server.body_max", type: "bytes", default: 4_194_304, description: "Largest body." },
  origins: { key: "server.origins", type: "list", default: [], description: "Allowed | origins." },
  level: {
    key: "log.level",
    env: "LOG_LEVEL",
    type: "enum",
    values: ["info", "debug"],
    default: "info",
    description: "How much.",
  },
  databaseUrl: {
    key: "database.url",
    env: "DATABASE_URL",
    type: "string",
    secret: true,
    description: "A database of one's own.",
  },
  strict: { key: "server.strict", type: "bool", default: true, description: "Strictness." },
});

async function tomlFile(t: TestContext, text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "syla-config-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "syla.toml");
  await writeFile(path, text);
  return path;
}

test("without any source every setting has its default, and an optional one is undefined", async () => {
  const config = await loadConfig({ server }, { env: {} });
  assert.deepEqual(config.server, defaultsOf(server));
  assert.deepEqual(config, {
    server: {
      host: "127.0.0.1",
      port: 8080,
      drain: 10_000,
      body: 4_194_304,
      origins: [],
      level: "info",
      databaseUrl: undefined,
      strict: true,
    },
  });
  // The types are those of the declarations.
  const level: "info" | "debug" = config.server.level;
  const url: string | undefined = config.server.databaseUrl;
  assert.deepEqual([level, url], ["info", undefined]);
});

test("the environment wins over the file, and the file over the default", async (t) => {
  const file = await tomlFile(
    t,
    '[server]\nhost = "::1"\nport = 1\nbody_max = "1MiB"\norigins = ["a", "b"]\ndrain = "1.5s"\n[log]\nlevel = "debug"\n',
  );
  const env = { REST_PORT: "2", SYLA_SERVER_STRICT: "false", SERVER_HOST: "" };
  const { server: got } = await loadConfig({ server }, { env, file });
  assert.deepEqual(
    [got.host, got.port, got.body, got.origins, got.drain, got.level, got.strict],
    ["::1", 2, 1_048_576, ["a", "b"], 1500, "debug", false],
  );
});

test("everything that is wrong is told at once, naming the nearest known setting", async (t) => {
  const file = await tomlFile(t, '[server]\nhots = "a"\ndrain = 5\n');
  const env = {
    REST_PORT: "80a80",
    SYLA_SERVER_STRIKT: "true",
    LOG_LEVEL: "loud",
    SYLA_TOKEN: "t",
  };
  await assert.rejects(
    loadConfig({ server }, { env, file, otherVariables: ["SYLA_TOKEN"] }),
    (error) => {
      assert.ok(error instanceof Error);
      assert.deepEqual(error.message.split("\n"), [
        `Cannot use server.hots in ${file}: there is no such setting. Did you mean server.host?`,
        "Cannot use the variable SYLA_SERVER_STRIKT: there is no such setting. Did you mean SYLA_SERVER_STRICT?",
        'Cannot use "80a80" as REST_PORT: expected a whole number from 0 to 65535.',
        `Cannot use 5 as server.drain in ${file}: expected a duration such as 500ms, 30s, 5m or 1h from 0s.`,
        'Cannot use "loud" as LOG_LEVEL: expected one of info, debug.',
      ]);
      return true;
    },
  );
});

test("a secret's value is in no message and not in the reference", async (t) => {
  const file = await tomlFile(t, "[database]\nurl = 12345\n");
  await assert.rejects(loadConfig({ server }, { env: {}, file }), (error) => {
    return error instanceof Error && !error.message.includes("12345");
  });
});

test("a file that is named but missing, or is no TOML, is refused", async (t) => {
  const refused = { code: "invalid_configuration" };
  await assert.rejects(loadConfig({ server }, { env: {}, file: "/nowhere/syla.toml" }), refused);
  await assert.rejects(
    loadConfig({ server }, { env: { SYLA_CONFIG: "/nowhere/syla.toml" } }),
    /no such file/,
  );
  const file = await tomlFile(t, '[database]\nurl = "secret\n');
  await assert.rejects(loadConfig({ server }, { env: {}, file }), (error) => {
    return error instanceof Error && /line 2/.test(error.message) && !/secret/.test(error.message);
  });
});

test("renderSettings() has a row for every setting, as people write its values", () => {
  const page = renderSettings({ server });
  assert.match(
    page,
    /^\| `server.port` \| `REST_PORT` \| int from 0 to 65535 \| `8080` \| The port/m,
  );
  assert.match(page, /^\| `server.drain` \| `SYLA_SERVER_DRAIN` \| duration from 0s \| `10s` \|/m);
  assert.match(page, /`4MiB`/);
  assert.match(page, /Allowed \\\| origins/);
  assert.match(page, /^\| `database.url` .* string, secret \| none/m);
  const cores: Setting = {
    key: "a.cores",
    type: "int",
    default: 4,
    defaultNote: "follows the machine",
    description: "How many.",
  };
  assert.match(renderSettings({ a: { cores } }), /int \| follows the machine \| How many/);
});

const durations: Setting = { key: "a.b", type: "duration", description: "A duration." };
const sizes: Setting = { key: "a.b", type: "bytes", description: "A size." };

for (const setting of [durations, sizes]) {
  test(`a ${setting.type} that is written is read back as the same`, () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.constantFrom(1, 1000, 1024, 60_000), (amount, factor) => {
        const value = amount * factor;
        assert.deepEqual(readSetting(setting, writeValue(setting, value)), {
          kind: "value",
          value,
        });
      }),
    );
  });
}

test("whatever a value is, reading it answers a value or what was expected", () => {
  const kinds = ["string", "bool", "int", "duration", "bytes", "list"] as const;
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.anything(), (type, given) => {
      const reading = readSetting({ key: "a.b", type, description: "Any." }, given);
      assert.ok(reading.kind === "value" || reading.expected.length > 0);
    }),
  );
});
