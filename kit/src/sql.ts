// What code that speaks to a database is given. It knows statements and rows, and nothing of connections.

/** One row: column name to value. */
export type Row = Readonly<Record<string, unknown>>;

export interface QueryOptions {
  /** Prepares the statement under this name once a connection, which saves its planning: for hot queries. */
  readonly name?: string;
}

/** Where statements are run: in a transaction, or each on its own. */
export interface Queries {
  /**
   * Runs one statement; values are `$1`, `$2`... Throws `database_unavailable` when the database cannot be reached
   * (after a lost connection the statement may have had its effect), `storage_full`, `deadline_exceeded` when it ran
   * longer than allowed, `transaction_conflict`.
   */
  query(text: string, values?: readonly unknown[], options?: QueryOptions): Promise<Row[]>;
  /** The same, with every row read by `parse`. */
  query<T>(
    text: string,
    values: readonly unknown[],
    options: QueryOptions & { readonly parse: (row: Row) => T },
  ): Promise<T[]>;
}

/** A schema's connections. */
export interface Sql extends Queries {
  /** Runs `work` in a transaction on one connection: committed when it resolves, rolled back when it throws. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
}
