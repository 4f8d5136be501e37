import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ProcessOutputSchema } from "@syla/contract/syla/sandbox/v1/process";
import {
  CellResultSchema,
  CellSpecSchema,
  Cell_Status as Status,
} from "@syla/contract/syla/session/v1/cell";
import { Cell } from "./cell.ts";
import { Cells } from "./cells.ts";

const session = "0197a2c4-0000-7000-8000-000000000000";

function makeCell(id: number, resultsBytesMax = 10_000): Cell {
  const spec = create(CellSpecSchema, { code: "1" });
  return new Cell({ id, session, spec, firstEvent: 1, nowMs: 0, resultsBytesMax });
}

function print(cell: Cell, text: string): void {
  const value = create(ProcessOutputSchema, { data: { case: "text", value: text } });
  cell.print("stdout", value);
}

const result = (displayId = "") => create(CellResultSchema, { displayId });

test("a cell holds what it showed up to a bound, and says that there was more", () => {
  const cell = makeCell(1, 1000);
  for (let n = 0; n < 10; n += 1) cell.show(result(), 100);
  const { results, resultsTruncated } = cell.whole();
  assert.deepEqual([results.length, resultsTruncated], [2, true]);
});

test("what is cleared is gone at once, or with the next that is shown", () => {
  const cell = makeCell(1);
  print(cell, "before");
  cell.show(result("a"), 1);
  cell.clear(true);
  assert.deepEqual([cell.whole().stdout, cell.whole().results.length], ["before", 1]);
  cell.show(result("b"), 1);
  assert.deepEqual(
    [cell.whole().stdout, cell.whole().results.map((one) => one.displayId)],
    ["", ["b"]],
  );
  cell.clear(false);
  assert.equal(cell.whole().results.length, 0);
});

test("of those that ended the last are remembered, and all that wait", () => {
  const cells = new Cells(session, 100_000);
  for (let id = 1; id <= 120; id += 1) {
    const cell = makeCell(id);
    cells.add(cell);
    if (id > 1) cell.finish(Status.OK, undefined, 0);
  }
  cells.trim();
  assert.equal(cells.all.length, 98);
  assert.deepEqual([cells.find(1).over, cells.find(120).over], [false, true]);
  assert.throws(() => cells.find(2), /no cell|there is none/i);
  print(cells.find(120), "x".repeat(200_000));
  cells.trim();
  assert.deepEqual(
    cells.all.map(({ message }) => message.id),
    [1, 120],
  );
});

test("an update changes every result with its id, and none that has no id", () => {
  const cell = makeCell(1);
  for (const id of ["a", "", "b", "a"]) cell.show(result(id), 1);
  const update = (displayId: string) =>
    cell.update(create(CellResultSchema, { displayId, metadataJson: "new" }), 1);
  const changed = () => cell.whole().results.map(({ metadataJson }) => metadataJson);
  for (const id of ["", "c", "a"]) update(id);
  assert.deepEqual(changed(), ["new", "", "", "new"]);
  cell.clear(false);
  cell.show(result("b"), 1);
  update("a");
  assert.deepEqual(changed(), [""]);
  update("b");
  assert.deepEqual(changed(), ["new"]);
});

test("updates of what is not shown do not look through all that is", () => {
  const cells = new Cells(session, 1e9);
  const cell = makeCell(1, 1e9);
  cells.add(cell);
  for (let n = 0; n < 10_000; n += 1) cell.show(result(`d${n}`), 1);
  for (let n = 0; n < 1_000_000; n += 1) cells.update(result("x"), 1);
  assert.equal(cell.whole().results.length, 10_000);
});
