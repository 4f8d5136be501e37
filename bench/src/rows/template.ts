// Sandboxes that begin with something: how soon one gives a first answer, and what each is charged for, by what it
// begins with. A snapshot of a template's files is the same files, unpacked for each, where a template's are shared.
import { Client } from "../client.ts";
import { chargedMiB, jailProcesses } from "../jails.ts";
import { type Bench, turnsOf } from "../measure.ts";
import { endPlatform, type Platform, startPlatform } from "../platform.ts";
import { below, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";

const sandboxes = "/api/v1/sandboxes";
const templates = "/api/v1/templates";
/** How many of each kind are there at one time while their memory is looked at. */
const keptCount = 20;
const templateMsMax = 25;
/** What marks the processes of those. */
const marker = "1000007";

interface Kind {
  readonly what: string;
  readonly spec: object;
  readonly goal?: number;
}

const contents = [
  ["a thousand files of 1 KB", "for n in $(seq 1000); do head -c 1024 /dev/urandom > $n; done"],
  ["one file of 100 MB", "head -c 100000000 /dev/urandom > large"],
] as const;

async function post(client: Client, where: string, body: object): Promise<string> {
  const answer = await client.call(where, JSON.stringify(body));
  if (answer.status >= 300) throw new Error(`Cannot measure: ${answer.status} ${answer.body}`);
  return answer.body;
}

const idOf = (body: string): string => /"id":"([^"]+)"/.exec(body)?.[1] ?? "";

async function end({ url }: Platform, where: string): Promise<void> {
  await (await fetch(`${url}${where}`, { method: "DELETE" })).arrayBuffer();
}

/** A template with such files, and a snapshot of a sandbox that began with it. */
async function prepare(client: Client, platform: Platform): Promise<readonly Kind[]> {
  const kinds: Kind[] = [{ what: "nothing", spec: {} }];
  for (const [index, [what, command]] of contents.entries()) {
    const name = `bench-${index}`;
    await post(client, templates, { name, commands: [command, "echo hi > hi"] });
    const headers = { accept: "application/x-ndjson" };
    const events = await fetch(`${platform.url}${templates}/${name}/events`, { headers });
    const said = await events.text();
    if (!said.includes('"READY"')) throw new Error(`Cannot measure: ${said.slice(-500)}`);
    const id = idOf(await post(client, sandboxes, { template: name }));
    const snapshot = idOf(await post(client, `${sandboxes}/${id}/snapshots`, {}));
    await end(platform, `${sandboxes}/${id}`);
    kinds.push(
      { what: `a template with ${what}`, spec: { template: name }, goal: templateMsMax },
      { what: `a snapshot with ${what}`, spec: { snapshot } },
    );
  }
  return kinds;
}

async function firstOutput(client: Client, platform: Platform, { spec }: Kind): Promise<number> {
  const begin = performance.now();
  const id = idOf(await post(client, sandboxes, spec));
  await post(client, `${sandboxes}/${id}/processes:run`, { command: "cat", args: ["hi"] });
  const tookMs = performance.now() - begin;
  await end(platform, `${sandboxes}/${id}`);
  return tookMs;
}

/** What one of them is charged for, once it has run a command. */
async function charged(client: Client, platform: Platform, { spec }: Kind): Promise<number> {
  const ids: string[] = [];
  for (let n = 0; n < keptCount; n += 1) {
    const id = idOf(await post(client, sandboxes, spec));
    await post(client, `${sandboxes}/${id}/processes`, { command: "sleep", args: [marker] });
    ids.push(id);
  }
  const all = jailProcesses(platform.pid).filter(({ command }) => command.includes(marker));
  const slots = [...new Set(all.map(({ slot }) => slot))];
  const sum = slots.reduce((total, slot) => total + chargedMiB(slot, platform.pid), 0);
  for (const id of ids) await end(platform, `${sandboxes}/${id}`);
  if (slots.length !== keptCount)
    throw new Error(`Cannot measure: ${slots.length} jails are seen.`);
  return sum / keptCount;
}

export async function measureTemplate(bench: Bench): Promise<readonly Row[]> {
  const platform = await startPlatform();
  const client = new Client(platform.url);
  try {
    const kinds = await prepare(client, platform);
    const times = kinds.map((): number[] => []);
    // By turns, as the machine's speed drifts; those of 100 MB that are unpacked are most of the time.
    for (let turn = 0; turn < turnsOf(bench) / 2; turn += 1) {
      for (const [index, kind] of kinds.entries())
        times[index]?.push(await firstOutput(client, platform, kind));
    }
    const rows: Row[] = [];
    for (const [index, kind] of kinds.entries()) {
      const ms = median(times[index] ?? []);
      rows.push({
        what: `A sandbox that begins with ${kind.what}, to the output of its first command, p50`,
        syla: `${digits(ms)} ms`,
        goal: kind.goal === undefined ? undefined : below(ms, kind.goal, "ms"),
      });
    }
    for (const kind of kinds) {
      rows.push({
        what: `Memory that it is charged for, of ${keptCount} that begin with ${kind.what}`,
        syla: `${digits(await charged(client, platform, kind))} MiB`,
      });
    }
    return rows;
  } finally {
    client.close();
    await endPlatform(platform);
  }
}
