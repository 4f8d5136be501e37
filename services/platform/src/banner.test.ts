import assert from "node:assert/strict";
import { test } from "node:test";
import type { LanguageReport } from "@syla/sandbox";
import { type Banner, renderBanner } from "./banner.ts";

function report(
  name: string,
  version: string,
  firstRun: LanguageReport["firstRun"],
): LanguageReport {
  const language = {
    ...{ name, version, aliases: [], extensions: [], defaultFile: "main", binds: [], env: {} },
    ...{ hello: "", memoryBytesMin: 0, pidsMin: 1, run: () => [], fileFor: () => "main" },
  };
  return { language, firstRun };
}

const banner: Banner = {
  version: "1.2.3",
  restUrl: "http://127.0.0.1:8080",
  grpcAddress: "127.0.0.1:9090",
  dataDirectory: "/data",
  keyPath: "/data/api-key",
  languages: [],
  unavailable: undefined,
};

test("renderBanner() says what this is, where it is, and the next thing to type", () => {
  const text = renderBanner(banner);
  for (const part of [
    "Syla 1.2.3",
    "http://127.0.0.1:8080/docs",
    "127.0.0.1:9090",
    "/data",
    "/data/api-key",
  ]) {
    assert.ok(text.includes(part), part);
  }
});

test("renderBanner() suggests what can be run here", () => {
  const first = { state: "ran", milliseconds: 1 } as const;
  const languages = [report("javascript", "24.1.0", first)];
  assert.match(renderBanner({ ...banner, languages }), /Next: .* npx syla run -l javascript -$/m);
  languages.push(report("python", "3.12.1", first));
  assert.match(renderBanner({ ...banner, languages }), /Next: npx syla run examples\/primes\.py$/m);
});

test("renderBanner() has one line a language, each version with its first run", () => {
  const text = renderBanner({
    ...banner,
    languages: [
      report("python", "3.12.1", { state: "ran", milliseconds: 12.4 }),
      report("python", "3.11.2", { state: "ran", milliseconds: 1234 }),
      report("go", "1.26", undefined),
      report("lua", "5.4", { state: "failed", reason: "no library" }),
    ],
  });
  assert.match(text, /^ {4}python {2}3\.12\.1 \(12 ms\), 3\.11\.2 \(1\.2 s\)$/m);
  assert.match(text, /^ {4}go {6}1\.26 \(preparing\)$/m);
  assert.match(text, /^ {4}lua {5}5\.4 \(does not work in the jail/m);
});

test("renderBanner() says on a host that cannot isolate why nothing runs there", () => {
  const text = renderBanner({ ...banner, unavailable: "bubblewrap is missing" });
  assert.match(text, /No code can be run on this host:\n {4}bubblewrap is missing/);
});
