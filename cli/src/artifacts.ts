// Files that a run brings back. Only what was asked for is written, and only into the working directory, unless the
// user named another place himself.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, normalize } from "node:path";
import type { Artifact } from "@syla/contract/syla/execution/v1/execution";
import { pathFailure, usageFailure } from "./failure.ts";
import { printable } from "./render.ts";

/** Where each artifact goes, by the path asked for. */
export type ArtifactPlaces = ReadonlyMap<string, string>;

/** Reads `PATH` and `PATH=LOCAL` flags. */
export function parseArtifacts(flags: readonly string[]): ArtifactPlaces {
  const places = new Map<string, string>();
  for (const flag of flags) {
    const equals = flag.indexOf("=");
    const path = equals < 0 ? flag : flag.slice(0, equals);
    const local = equals < 0 ? path : flag.slice(equals + 1);
    if (path === "" || local === "") {
      throw usageFailure(`Cannot read --artifact '${flag}': write PATH or PATH=LOCAL.`);
    }
    if (isAbsolute(path) || path.split("/").includes("..")) {
      const why = "it must be a path below the program's working directory, without '..'";
      throw usageFailure(`Cannot bring back --artifact '${path}': ${why}.`);
    }
    places.set(path, normalize(local));
  }
  return places;
}

/** Writes an artifact to its place; answers a sentence if it did not come whole. */
export async function saveArtifact(
  artifact: Artifact,
  places: ArtifactPlaces,
): Promise<string | undefined> {
  const place = places.get(artifact.name);
  const name = printable(artifact.name);
  if (place === undefined) return `the platform sent '${name}', which was not asked for`;
  if (artifact.error !== undefined) {
    return `'${name}' did not come back: ${artifact.error.replaceAll("_", " ")}`;
  }
  try {
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, artifact.contentBase64);
  } catch (thrown) {
    throw pathFailure("write", place, thrown);
  }
  const came = `${artifact.contentBase64.length} of ${artifact.sizeBytes} bytes`;
  return artifact.truncated ? `'${name}' came back in part: ${came}` : undefined;
}
