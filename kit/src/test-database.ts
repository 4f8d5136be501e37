// A database for tests: the real one, embedded, in a folder of its own that is gone afterwards.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataDirectory } from "./data-directory.ts";
import { type Database, openDatabase } from "./database.ts";
import { createLog, type Log } from "./log.ts";

/** A database for one test file, gone when it is closed. */
export interface TestDatabase extends Database {
  /** Where its data is. */
  readonly directory: string;
  /** Stops it and deletes its data. */
  close(): Promise<void>;
}

/** Starts a database with nothing in it; takes about 0.7 s, so once a test file is enough. */
export async function openTestDatabase(
  options: { readonly log?: Log } = {},
): Promise<TestDatabase> {
  const { log = createLog({ name: "test", level: "silent" }) } = options;
  const directory = await mkdtemp(join(tmpdir(), "syla-test-"));
  const dataDirectory = await openDataDirectory(directory);
  const database = await openDatabase({ dataDirectory, log });
  return {
    ...database,
    directory,
    close: async () => {
      await database.close();
      await dataDirectory.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
