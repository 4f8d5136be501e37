// What E2B's official SDK gives to programs of what code showed: the numbers of a chart, the columns of a table, JSON.
import assert from "node:assert/strict";
import { beforeEach, test, type TestContext } from "node:test";
import type { Result, Sandbox } from "@e2b/code-interpreter";
import { parseObject, pointAt, withInterpreter } from "../e2b-sdk.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

beforeEach(() => pointAt(platform()));

const imports = "import datetime, numpy as np, matplotlib.pyplot as plt\n";

/** The chart of a figure that code draws, without the ticks, which are the library's taste. */
async function drawn(sandbox: Sandbox, code: string): Promise<Readonly<Record<string, unknown>>> {
  const { error, results } = await sandbox.runCode(imports + code);
  assert.equal(error, undefined, error?.traceback);
  const figure = results.find(({ png }) => png !== undefined) ?? assert.fail("no figure");
  assert.ok(figure.png?.startsWith("iVBOR"));
  return parseObject(figure.chart ?? {});
}

const plain = { x_label: null, x_unit: null, y_label: null, y_unit: null };

async function lacks(sandbox: Sandbox, library: string, t: TestContext): Promise<boolean> {
  const { text } = await sandbox.runCode(`import importlib.util as u; u.find_spec('${library}')`);
  if (text !== undefined) return false;
  t.skip(`${library} is not on this host`);
  return true;
}

test("a figure of lines has its points, labels, units, ticks and scales", (t) =>
  withInterpreter(async (sandbox) => {
    if (await lacks(sandbox, "matplotlib", t)) return;
    const code = `plt.plot([1, 2], [10, 1000], label='growth'); plt.plot([1, 2], [5, np.nan], label='gap')
plt.axhline(3); plt.grid(True); plt.legend(); plt.title('Twice'); plt.yscale('log')
plt.xlabel('Time (s)'); plt.ylabel('Size [kB]'); plt.xticks([1, 2], ['one', 'two'])`;
    const { y_ticks, y_tick_labels, ...chart } = await drawn(sandbox, code);
    assert.deepEqual(chart, {
      ...{ type: "line", title: "Twice", x_label: "Time (s)", x_unit: "s" },
      ...{ y_label: "Size [kB]", y_unit: "kB", x_scale: "linear", y_scale: "log" },
      ...{ x_ticks: [1, 2], x_tick_labels: ["one", "two"] },
      elements: [
        {
          label: "growth",
          points: [
            [1, 10],
            [2, 1000],
          ],
        },
        {
          label: "gap",
          points: [
            [1, 5],
            [2, null],
          ],
        },
      ],
    });
    assert.ok(Array.isArray(y_ticks) && Array.isArray(y_tick_labels));
    assert.equal(y_ticks.length, y_tick_labels.length);
  }));

test("days and names on an axis are told as such", (t) =>
  withInterpreter(async (sandbox) => {
    if (await lacks(sandbox, "matplotlib", t)) return;
    const code = "plt.plot([datetime.date(2023, 9, 1), datetime.date(2023, 9, 3)], ['A', 'B'])";
    const { elements, x_scale, y_scale, y_ticks } = await drawn(sandbox, code);
    assert.deepEqual([x_scale, y_scale, y_ticks], ["datetime", "categorical", ["A", "B"]]);
    const points = [
      ["2023-09-01T00:00:00", "A"],
      ["2023-09-03T00:00:00", "B"],
    ];
    assert.deepEqual(elements, [{ label: "_child0", points }]);
  }));

test("points, bars, slices and boxes are told each in their way", (t) =>
  withInterpreter(async (sandbox) => {
    if (await lacks(sandbox, "matplotlib", t)) return;
    const scatter = await drawn(sandbox, "plt.scatter([1, 2], [3, 4], label='both')");
    assert.equal(scatter["type"], "scatter");
    assert.deepEqual(scatter["elements"], [
      {
        label: "both",
        points: [
          [1, 3],
          [2, 4],
        ],
      },
    ]);
    const groups = `x = np.arange(2); plt.bar(x - 0.2, [1, 2], 0.4, label='m', yerr=[1, 1])
plt.bar(x + 0.2, [3, 4], 0.4, label='w'); plt.xticks(x, ['a', 'b'])`;
    assert.deepEqual(await drawn(sandbox, groups), {
      ...{ type: "bar", title: null, ...plain },
      elements: [
        { label: "a", value: 1, group: "m" },
        { label: "b", value: 2, group: "m" },
        { label: "a", value: 3, group: "w" },
        { label: "b", value: 4, group: "w" },
      ],
    });
    const lying = await drawn(
      sandbox,
      "plt.barh(['a', 'b'], [1, 2]); plt.xlabel('n'); plt.ylabel('who')",
    );
    assert.deepEqual([lying["x_label"], lying["y_label"]], ["who", "n"]);
    const pie = "plt.pie([90, 10], labels=['No', 'Yes'], autopct='%1.1f%%'); plt.title('Early?')";
    const slices = [
      ["No", 324],
      ["Yes", 36],
    ].map(([label, angle]) => ({ label, angle, radius: 1 }));
    assert.deepEqual(await drawn(sandbox, pie), { type: "pie", title: "Early?", elements: slices });
    const box = "plt.boxplot([[1, 2, 3, 4, 40]]); plt.xticks([1], ['A']); plt.ylabel('Score')";
    assert.deepEqual(await drawn(sandbox, box), {
      ...{ type: "box_and_whisker", title: null, ...plain, y_label: "Score" },
      elements: [
        {
          ...{ label: "A", min: 1, first_quartile: 2, median: 3 },
          ...{ third_quartile: 4, max: 4, outliers: [40] },
        },
      ],
    });
  }));

test("several axes are a chart of charts, and what is none of them is of unknown type", (t) =>
  withInterpreter(async (sandbox) => {
    if (await lacks(sandbox, "matplotlib", t)) return;
    const two = `f, (a, b) = plt.subplots(1, 2); f.suptitle('Two'); a.plot([1, 2]); a.set_title('left')
f.colorbar(b.scatter([1], [2], c=[3]))`;
    const { type, title, elements } = await drawn(sandbox, two);
    assert.ok(Array.isArray(elements));
    const inside = elements.map((one: unknown) => parseObject(one));
    assert.deepEqual([type, title], ["superchart", "Two"]);
    assert.deepEqual(
      inside.map((one) => [one["type"], one["title"]]),
      [
        ["line", "left"],
        ["scatter", null],
      ],
    );
    const circle = "plt.gca().add_artist(plt.Circle((0, 0), 1)); plt.title('Round')";
    assert.deepEqual(await drawn(sandbox, circle), {
      type: "unknown",
      title: "Round",
      elements: [],
    });
    assert.deepEqual(await drawn(sandbox, "plt.subplots()"), {});
    const many = "plt.plot(np.zeros(200_000))";
    assert.deepEqual(await drawn(sandbox, many), {}, "more than a program will read");
  }));

test("a data frame has its columns, a list and a dictionary their JSON, and other values neither", (t) =>
  withInterpreter(async (sandbox) => {
    const value = async (code: string): Promise<Result> =>
      (await sandbox.runCode(code)).results[0] ?? assert.fail(code);
    assert.deepEqual((await value("[1, {'a': None}]")).json, [1, { a: null }]);
    assert.deepEqual((await value("{'a': [1.5]}")).json, { a: [1.5] });
    for (const none of ["{1, 2}", "[float('nan')]", "[{1}]", "x = []; x.append(x); x", "'[1]'"]) {
      assert.deepEqual((await value(none)).formats(), [], none);
    }
    if (await lacks(sandbox, "pandas", t)) return;
    const frame = `import pandas as pd
pd.DataFrame({'n': [1, 2.5], 'who': ['x', None], 'day': pd.to_datetime(['2024-01-01', None]), 3: pd.array([1, None])})`;
    const { data, html, text } = await value(frame);
    assert.deepEqual(data, {
      ...{ n: [1, 2.5], who: ["x", null], day: ["2024-01-01T00:00:00", null] },
      "3": [1, null],
    });
    assert.match(html ?? "", /<table/);
    assert.match(text ?? "", /2024-01-01/);
    const large = await value("import numpy; pd.DataFrame(numpy.zeros((1000, 1000)))");
    assert.equal(large.data, undefined);
  }));

test("who does not ask for these forms has none of them", async () => {
  const call = async (path: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify(body) };
    return parseObject(await (await fetch(`${platform().url}/api/v1${path}`, request)).json());
  };
  const { id } = await call("/sessions", { language: "python" });
  const cell = await call(`/sessions/${String(id)}/cells:run`, { code: "[1]" });
  assert.doesNotMatch(JSON.stringify(cell["results"]), /application\/json/);
});
