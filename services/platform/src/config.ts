// Every setting of the platform as a whole. What a service decides by itself is a setting of that service.
import { type ConfigOf, defineSettings } from "@syla/kit/config";
import { logLevels } from "@syla/kit/log";

export const platformSettings = defineSettings({
  logLevel: {
    key: "log.level",
    env: "LOG_LEVEL",
    type: "enum",
    values: logLevels,
    default: "info",
    description: "How much is logged, as JSON lines on standard error.",
  },
  databaseUrl: {
    key: "database.url",
    env: "DATABASE_URL",
    type: "string",
    secret: true,
    description:
      "A PostgreSQL of your own; without it an embedded one is started in the data folder.",
  },
  dataDirectory: {
    key: "data.directory",
    env: "SYLA_DATA",
    type: "string",
    default: ".syla",
    description: "The folder that holds everything the platform keeps.",
  },
});

export type PlatformConfig = ConfigOf<typeof platformSettings>;
