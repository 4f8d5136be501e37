// Durations and sizes as people write them, and as they like to read them.
import { usageFailure } from "./failure.ts";

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

const bytesPerUnit: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 2 ** 10,
  m: 1e6,
  mb: 1e6,
  mib: 2 ** 20,
  g: 1e9,
  gb: 1e9,
  gib: 2 ** 30,
};

/** Milliseconds of `500ms`, `5s`, `2m`, `1h` or `1m30s`; a plain number is seconds. */
export function parseDurationMs(text: string, flag: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return positive(Number(text) * 1000, text, flag);
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    throw usageFailure(
      `Cannot read ${flag} '${text}': write a duration such as 500ms, 5s or 1m30s.`,
    );
  }
  let total = 0;
  for (const [, count = "", unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    total += Number(count) * (msPerUnit[unit] ?? 0);
  }
  return positive(total, text, flag);
}

/** Bytes of `64KB` (64,000), `64KiB` (65,536) or a plain number; upper or lower case. */
export function parseBytes(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(text.toLowerCase());
  const factor = bytesPerUnit[match?.[2] ?? "?"];
  if (match === null || factor === undefined) {
    throw usageFailure(`Cannot read ${flag} '${text}': write a size such as 64MB or 1GiB.`);
  }
  return positive(Math.round(Number(match[1]) * factor), text, flag);
}

/** A whole number from 1. */
export function parseCount(text: string, flag: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usageFailure(`Cannot read ${flag} '${text}': write a number.`);
  return positive(Number(text), text, flag);
}

function positive(value: number, text: string, flag: string): number {
  if (value > 0 && Number.isSafeInteger(Math.round(value))) return value;
  throw usageFailure(`Cannot take ${flag} '${text}': it must be above 0.`);
}

/** A span of time in its largest unit, for example `5 s` or `3 min`. */
export function formatSpan(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h`;
  return `${Math.floor(ms / 86_400_000)} d`;
}

/** Bytes in the unit they are a round number of, for example `64 MB` or `64 MiB`. */
export function formatBytes(bytes: number): string {
  for (const [factor, unit] of [
    [2 ** 30, "GiB"],
    [1e9, "GB"],
    [2 ** 20, "MiB"],
    [1e6, "MB"],
    [2 ** 10, "KiB"],
    [1e3, "kB"],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor} ${unit}`;
  }
  return `${bytes} bytes`;
}
