// Writes docs/reference/settings.md from the declarations, so that the page cannot say anything else than the code.
import type { Settings } from "./config.ts";
import { boundsText, type Setting, variableOf, writeValue } from "./setting.ts";

/** The reference of all settings as Markdown: one section a service, one row a setting. */
export function renderSettings(definitions: Readonly<Record<string, Settings>>): string {
  const sections = Object.entries(definitions).map(([service, settings]) => {
    const rows = Object.values(settings).map(row);
    return [`## ${service}`, "", ...header, ...rows, ""].join("\n");
  });
  return [...introduction, ...sections].join("\n");
}

const introduction = [
  "# Settings",
  "",
  "<!-- Generated from the declarations in the code; do not edit. -->",
  "",
  "A setting is taken from its environment variable, else from `syla.toml` in the working directory (or the file that",
  "`SYLA_CONFIG` names), else it has its default. In the file, `server.host` is `host` in the table `[server]`.",
  "Settings and `SYLA_*` variables that are not listed here are refused.",
  "",
];

const header = [
  "| Setting | Variable | Type | Default | What it does |",
  "| --- | --- | --- | --- | --- |",
];

function row(setting: Setting): string {
  const cells = [
    `\`${setting.key}\``,
    `\`${variableOf(setting)}\``,
    typeText(setting),
    defaultText(setting),
    setting.description,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function typeText(setting: Setting): string {
  if (setting.type === "enum") return setting.values.map((value) => `\`${value}\``).join(", ");
  const unit = setting.type === "int" && setting.unit !== undefined ? ` (${setting.unit})` : "";
  return `${setting.type}${unit}${boundsText(setting)}${setting.secret === true ? ", secret" : ""}`;
}

function defaultText(setting: Setting): string {
  if (setting.defaultNote !== undefined) return setting.defaultNote;
  if (setting.default === undefined) return "none";
  if (setting.secret === true) return "secret";
  const text = writeValue(setting, setting.default);
  return text === "" ? "empty" : `\`${text}\``;
}
