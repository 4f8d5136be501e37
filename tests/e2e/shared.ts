// One platform for a file of tests: started before the first, ended well after the last.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { type Platform, type PlatformOptions, startPlatform } from "../platform.ts";

/** Registers the hooks; answers how to get at the platform in a test. */
export function sharedPlatform(options: PlatformOptions = {}): () => Platform {
  let platform: Platform | undefined;
  before(async () => {
    platform = await startPlatform(options);
  });
  after(async () => {
    assert.equal(await platform?.stop(), 0, platform?.log());
  });
  return () => {
    assert.ok(platform !== undefined, "the platform is started before the first test");
    return platform;
  };
}

/** Waits until a condition holds, polling; for what no event tells. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `it never came to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
