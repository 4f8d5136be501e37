// A page of a list, newest first: rows with an `id` that grows with time, a `metadata` of labels and a `record`, the
// whole of it as a message. The filter's fields are columns; its values are parameters.
import { type Comparison, parseFilter } from "./filter.ts";
import { SylaError } from "./error.ts";
import type { PageTokens } from "./page-token.ts";
import type { Row, Sql } from "./sql.ts";

/** What every list method is asked (API rule 3). */
export interface ListRequest {
  /** 0 means 50, more than 1000 means 1000. */
  readonly pageSize: number;
  readonly pageToken: string;
  readonly filter: string;
}

/** Which list it is. */
export interface ListOptions<Item> {
  readonly sql: Sql;
  readonly pageTokens: PageTokens;
  readonly table: string;
  /** Columns by the name that a filter has for them. */
  readonly columns: Readonly<Record<string, string>>;
  readonly parse: (row: Row) => Item;
}

/** What a list answers. */
export interface Page<Item> {
  readonly items: Item[];
  readonly nextPageToken: string;
}

const pageSizeDefault = 50;
const pageSizeMax = 1000;

/** Reads the page that is asked for. */
export async function readPage<Item extends { readonly id: string }>(
  { pageSize, pageToken, filter }: ListRequest,
  options: ListOptions<Item>,
): Promise<Page<Item>> {
  const { sql, pageTokens, table, columns, parse } = options;
  const comparisons = parseFilter(filter, { fields: [...Object.keys(columns), "metadata.*"] });
  // No label has NUL, and the database cannot even be asked for it.
  if (comparisons.some(({ value }) => value.includes("\0"))) {
    throw new SylaError("invalid_filter", "Cannot read the filter: a value has NUL in it.");
  }
  const size = Math.min(pageSize === 0 ? pageSizeDefault : pageSize, pageSizeMax);
  const query = `${table}:${filter}`;
  const before = pageToken === "" ? null : pageTokens.open(pageToken, query);
  const values: unknown[] = [before, size + 1];
  const conditions = comparisons.map((comparison) => conditionOf(comparison, columns, values));
  const rows = await sql.query(
    `select record from ${table} where ($1::uuid is null or id < $1) ${conditions.join(" ")}
     order by id desc limit $2`,
    values,
  );
  const items = rows.slice(0, size).map(parse);
  const last = items.at(-1);
  const more = rows.length > size && last !== undefined;
  return { items, nextPageToken: more ? pageTokens.seal(last.id, query) : "" };
}

function conditionOf(
  { field, operator, value }: Comparison,
  columns: Readonly<Record<string, string>>,
  values: unknown[],
): string {
  const test = operator === "=" ? "=" : "is distinct from";
  values.push(value);
  const column = Object.hasOwn(columns, field) ? columns[field] : undefined;
  if (column !== undefined) return `and ${column} ${test} $${values.length}`;
  values.push(field.slice("metadata.".length));
  return `and metadata ->> $${values.length} ${test} $${values.length - 1}`;
}
