// Every SQL statement about templates, one function each.
import { enumToJson, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Template_StatusSchema as StatusSchema,
  type Template,
  TemplateSchema,
} from "@syla/contract/syla/sandbox/v1/template";
import { invariant } from "@syla/kit/assert";
import { deadInstance } from "@syla/kit/instances";
import type { Row, Sql } from "@syla/kit/sql";

/** What declaring a template did: it is to be built, in place of another or not; or it was there already. */
export type Declared =
  | { readonly kind: "new"; readonly replaced: string | undefined }
  | { readonly kind: "same"; readonly template: Template };

/** Writes a template that is to be built, unless the same is there and did not fail: of two at once, one is told so. */
export function declareTemplate(sql: Sql, instanceId: string, wanted: Template): Promise<Declared> {
  return sql.transaction(async (queries) => {
    // Held for whoever declares the same name at the same time, also when there is no row yet.
    await queries.query("select pg_advisory_xact_lock(hashtext('template ' || $1))", [wanted.name]);
    const [before] = await queries.query(
      "select record, digest, status from templates where name = $1 for update",
      [wanted.name],
    );
    const found = before === undefined ? undefined : parseTemplate(before);
    if (found?.declaration === wanted.declaration && before?.["status"] !== "FAILED") {
      return { kind: "same", template: found };
    }
    await queries.query("delete from templates where name = $1", [wanted.name]);
    await queries.query(
      `insert into templates (id, name, status, language, metadata, instance_id, record)
       values ($1, $2, 'BUILDING', $3, $4, $5, $6)`,
      [
        ...[wanted.id, wanted.name, wanted.language, JSON.stringify(wanted.metadata)],
        ...[instanceId, toBinary(TemplateSchema, wanted)],
      ],
    );
    const digest = before?.["digest"];
    return { kind: "new", replaced: typeof digest === "string" ? digest : undefined };
  });
}

/** Writes how a build ended; false when the template was deleted or declared anew meanwhile. */
export async function endTemplate(sql: Sql, template: Template, log: string): Promise<boolean> {
  const { id, status, digest } = template;
  const rows = await sql.query(
    `update templates set status = $2, digest = $3, record = $4, log = $5
     where id = $1 and status = 'BUILDING' returning id`,
    [
      ...[id, enumToJson(StatusSchema, status), digest === "" ? null : digest],
      ...[toBinary(TemplateSchema, template), log],
    ],
  );
  return rows.length > 0;
}

/** Reads one template. */
export async function readTemplate(sql: Sql, name: string): Promise<Template | undefined> {
  const rows = await sql.query("select record from templates where name = $1", [name]);
  return rows.map(parseTemplate)[0];
}

/** What its last build did, as it was kept; empty when that is not known. */
export async function readTemplateLog(sql: Sql, id: string): Promise<string> {
  const [row] = await sql.query("select log from templates where id = $1", [id]);
  const log = row?.["log"];
  return typeof log === "string" ? log : "";
}

/** Removes one, and answers it as it was. */
export async function removeTemplate(sql: Sql, name: string): Promise<Template | undefined> {
  const rows = await sql.query("delete from templates where name = $1 returning record", [name]);
  return rows.map(parseTemplate)[0];
}

/** How many there are. */
export async function countTemplates(sql: Sql): Promise<number> {
  const [row] = await sql.query("select count(*)::int as count from templates");
  return Number(row?.["count"]);
}

/** Takes over what dead processes were building. */
export async function takeTemplates(
  sql: Sql,
  instanceId: string,
  deadMs: number,
): Promise<Template[]> {
  const rows = await sql.query(
    `update templates set instance_id = $1
     where status = 'BUILDING' and ${deadInstance("templates")} returning record`,
    [instanceId, deadMs],
  );
  return rows.map(parseTemplate);
}

/** Columns by the name that a filter has for them. */
export const templateColumns: Readonly<Record<string, string>> = {
  name: "name",
  status: "status",
  language: "language",
};

/** The template of a row. */
export function parseTemplate({ record }: Row): Template {
  invariant(Buffer.isBuffer(record), "the column record holds bytes");
  return fromBinary(TemplateSchema, record);
}
