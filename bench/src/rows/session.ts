// Sessions: how soon one runs its first cell, and what a cell takes on top of the interpreter.
import { Client } from "../client.ts";
import { type Bench, turnsOf } from "../measure.ts";
import { below, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";

const path = "/api/v1/sessions";
const cellMsMax = 2;
const firstMsMax = 100;
const cellsATurn = 50;

async function post(client: Client, where: string, body: object): Promise<string> {
  const answer = await client.call(where, JSON.stringify(body));
  if (answer.status >= 300) throw new Error(`Cannot measure: ${answer.status} ${answer.body}`);
  return answer.body;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/** Measures sessions of the languages whose interpreters most ask for. */
export async function measureSession(bench: Bench): Promise<readonly Row[]> {
  const platform = await bench.platform();
  const client = new Client(platform.url);
  const rows: Row[] = [];
  for (const language of ["python", "javascript"]) {
    const first: number[] = [];
    const cells: number[] = [];
    for (let turn = 0; turn < turnsOf(bench); turn += 1) {
      let id = "";
      const run = () => post(client, `${path}/${id}/cells:run`, { code: "1+1" });
      first.push(
        await timed(async () => {
          id = /"id":"([^"]+)"/.exec(await post(client, path, { language }))?.[1] ?? "";
          await run();
        }),
      );
      for (let cell = 0; cell < cellsATurn; cell += 1) cells.push(await timed(run));
      await (await fetch(`${platform.url}${path}/${id}`, { method: "DELETE" })).arrayBuffer();
    }
    const [firstMs, cellMs] = [median(first), median(cells)];
    rows.push(
      {
        what: `A session of ${language}, from the request for it to the value of its first cell, HTTP, p50`,
        syla: `${digits(firstMs)} ms`,
        goal: below(firstMs, firstMsMax, "ms"),
      },
      {
        what: `A cell \`1+1\` in it, HTTP, p50`,
        syla: `${digits(cellMs)} ms`,
        goal: below(cellMs, cellMsMax, "ms"),
      },
    );
  }
  client.close();
  return rows;
}
