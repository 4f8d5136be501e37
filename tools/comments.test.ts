import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { collectComments, parseImage } from "./comments.ts";
import { runTool } from "./repository.ts";

const proto = `syntax = "proto3";
package a.v1;
// A thing,
// in two lines.
//
// And a paragraph.
message Thing {
  // Its name.
  string name = 1;
  optional int32 silent = 2;
  // One of them.
  oneof choice {
    bool yes = 3; // After it.
  }
  map<string, string> labels = 4;
  // A kind.
  enum Kind {
    // None.
    NONE = 0;
  }
}
// Serves.
service Things {
  // Gets one.
  rpc Get(Thing) returns (Thing);
}
`;

test("collectComments() names every comment in full, and joins the lines of a paragraph", async () => {
  const folder = mkdtempSync(join(tmpdir(), "syla-comments-"));
  try {
    writeFileSync(join(folder, "a.proto"), proto);
    const { stdout } = await runTool("buf", ["build", "--output", "-#format=binpb"], {
      cwd: folder,
    });
    const image = parseImage(stdout);
    assert.deepEqual(collectComments(image, ["a"]), {
      "a.v1.Thing": "A thing, in two lines.\n\nAnd a paragraph.",
      "a.v1.Thing.Kind": "A kind.",
      "a.v1.Thing.Kind.NONE": "None.",
      "a.v1.Thing.choice": "One of them.",
      "a.v1.Thing.name": "Its name.",
      "a.v1.Thing.yes": "After it.",
      "a.v1.Things": "Serves.",
      "a.v1.Things.Get": "Gets one.",
    });
    assert.deepEqual(collectComments(image, ["b"]), {});
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
