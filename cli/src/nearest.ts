// "Did you mean": the known word that the fewest edits away from a mistyped one.

/** The most edits at which a word is still taken for a slip. */
const editsMax = 2;

/** The known word nearest to a mistyped one, when one is near enough. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestEdits = Math.min(editsMax, Math.ceil(word.length / 2)) + 1;
  for (const candidate of known) {
    const distance = candidate.startsWith(word) && word.length > 1 ? 0 : edits(word, candidate);
    if (distance < bestEdits) [best, bestEdits] = [candidate, distance];
  }
  return best;
}

/** ` Did you mean 'x'?`, or nothing. */
export function suggestion(word: string, known: Iterable<string>): string {
  const near = nearest(word, known);
  return near === undefined ? "" : ` Did you mean '${near}'?`;
}

// Damerau and Levenshtein's distance with adjacent transpositions, row by row.
function edits(left: string, right: string): number {
  let before: number[] = [];
  let above = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const same = left[i - 1] === right[j - 1] ? 0 : 1;
      const swapped = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      row[j] = Math.min(
        at(above, j) + 1,
        at(row, j - 1) + 1,
        at(above, j - 1) + same,
        swapped ? at(before, j - 2) + 1 : Infinity,
      );
    }
    [before, above] = [above, row];
  }
  return at(above, right.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
