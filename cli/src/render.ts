// How things look on a terminal: colour only where a person reads it (a TTY, and NO_COLOR is not set), columns that
// line up, and no text from elsewhere that could move the cursor.
import { stripVTControlCharacters, styleText } from "node:util";

/** What a piece of text means; each meaning has one look. */
export type Tone = "good" | "bad" | "warning" | "faint" | "strong";

const looks = {
  good: "green",
  bad: "red",
  warning: "yellow",
  faint: "dim",
  strong: "bold",
} as const satisfies Readonly<Record<Tone, Parameters<typeof styleText>[0]>>;

/** Text in the look of its meaning, plain where colour is not wanted. */
export function toned(
  tone: Tone,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(looks[tone], text, { stream });
}

/** Rows with their columns lined up; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, shown(cell));
    }
  }
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => pad(cell, column, row, widths))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function pad(
  cell: string,
  column: number,
  row: readonly string[],
  widths: readonly number[],
): string {
  if (column === row.length - 1) return cell;
  return cell + " ".repeat((widths[column] ?? 0) - shown(cell));
}

function shown(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** Text from elsewhere on one line, without anything a terminal would obey. */
export function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim();
}
