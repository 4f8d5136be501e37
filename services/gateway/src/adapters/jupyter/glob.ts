// The patterns by which a client looks through what was run: `*` is any text, `?` any character.

/** Whether a whole text matches; in no more steps than the two lengths multiplied. */
export function matchesGlob(text: string, pattern: string): boolean {
  let [at, place] = [0, 0];
  // Where the last `*` was, and up to where it stands for the text.
  let [star, taken] = [-1, 0];
  while (at < text.length) {
    if (pattern[place] === "*") {
      [star, taken] = [place, at];
      place += 1;
    } else if (pattern[place] === "?" || pattern[place] === text[at]) {
      at += 1;
      place += 1;
    } else if (star !== -1) {
      taken += 1;
      [at, place] = [taken, star + 1];
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(place));
}
