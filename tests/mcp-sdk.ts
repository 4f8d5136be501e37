// The official client of the Model Context Protocol, unmodified, and what a test reads of its answers.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Server } from "./api.ts";

/** A part of what a tool answers. */
export interface Content {
  readonly type: string;
  readonly text?: string;
  readonly data?: string;
  readonly mimeType?: string;
  readonly resource?: { readonly uri: string; readonly mimeType: string; readonly blob: string };
}

/** What a tool answers. */
export interface ToolResult {
  readonly content: readonly Content[];
  readonly structuredContent?: Readonly<Record<string, unknown>>;
  readonly isError?: boolean;
}

const command = fileURLToPath(new URL("../cli/bin/syla.js", import.meta.url));
const clientInfo = { name: "test", version: "1.0.0" };

/** A client that has shaken hands by HTTP; `listTools` lets it check every answer against the tool's schema. */
export async function connectHttp({ url }: Server): Promise<Client> {
  const client = new Client(clientInfo);
  // Its session's id is declared to be there or undefined, which its own interface does not allow.
  await client.connect(parseTransport(new StreamableHTTPClientTransport(new URL(`${url}/mcp`))));
  await client.listTools();
  return client;
}

/** A client that has started `syla mcp`. */
export async function connectStdio(environment: Record<string, string>): Promise<Client> {
  const client = new Client(clientInfo);
  const { PATH = "" } = process.env;
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [command, "mcp"],
      env: { PATH, ...environment },
      stderr: "inherit",
    }),
  );
  await client.listTools();
  return client;
}

function parseTransport(transport: unknown): Parameters<Client["connect"]>[0] {
  return transport as Parameters<Client["connect"]>[0];
}

/** Calls a tool. */
export async function use(
  client: Client,
  name: string,
  args: Record<string, unknown> = {},
  options: NonNullable<Parameters<Client["callTool"]>[2]> = {},
): Promise<ToolResult> {
  return parseResult(await client.callTool({ name, arguments: args }, undefined, options));
}

/** Calls a tool that is to do its work, and answers the structured part. */
export function useWell<T>(
  client: Client,
  name: string,
  args: Record<string, unknown> = {},
): Promise<T> {
  return parseWell<T>(use(client, name, args));
}

/** All texts of an answer. */
export function textOf({ content }: ToolResult): string {
  return content.map(({ text }) => text ?? "").join("\n");
}

function parseResult(result: unknown): ToolResult {
  return result as ToolResult;
}

async function parseWell<T>(call: Promise<ToolResult>): Promise<T> {
  const result = await call;
  assert.notEqual(result.isError, true, textOf(result));
  return result.structuredContent as T;
}
