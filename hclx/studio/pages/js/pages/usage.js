// How much was asked for: by day, and by person, app and key.
import { html, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { language, number, t } from "../words.js";
import { Choice } from "../parts/field.js";
import { Icon } from "../parts/icons.js";
import { PageHead, Pending, download, useLoaded } from "../parts/page.js";
import { BarChart } from "../parts/plot.js";

const DAY_MS = 86_400_000;
const SUMS = ["requests", "prompt_tokens", "completion_tokens"];
const KINDS = ["person", "app", "key"];

// The days until today in UTC, as the server counts them, the oldest first.
const daysUntil = (now, count) => Array.from({ length: count }, (_, index) => new Date(now - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10));
const dayName = (day) => new Intl.DateTimeFormat(language, { month: "numeric", day: "numeric", timeZone: "UTC" }).format(new Date(`${day}T00:00:00Z`));

const added = (rows) => Object.fromEntries(SUMS.map((name) => [name, rows.reduce((sum, row) => sum + row[name], 0)]));

// Who has used how much, the most first. An app with another key is still one.
function users(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(userOf(row), [...(groups.get(userOf(row)) ?? []), row]);
  const sums = [...groups].map(([id, own]) => ({ id, kind: own[0].kind, name: own[0].name, slug: own[0].slug, ...added(own) }));
  return sums.sort((a, b) => b.prompt_tokens + b.completion_tokens - (a.prompt_tokens + a.completion_tokens));
}
const userOf = (row) => `${row.kind} ${row.slug ?? row.key}`;

// A cell of CSV; a spreadsheet takes one that begins with = + - @ for a formula.
function csvCell(value) {
  const text = typeof value === "number" ? String(value) : String(value ?? "").replace(/^([=+\-@\t\r])/, "'$1");
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
export function csvOf(rows) {
  const head = [t("usage.day"), t("usage.kind"), t("common.name"), t("usage.key"), ...SUMS.map((name) => t(`usage.${name}`))];
  const lines = rows.map((row) => [row.day, t(`usage.one_${row.kind}`), row.name, row.key, ...SUMS.map((name) => row[name])]);
  return `\ufeff${[head, ...lines].map((line) => line.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

function Totals({ rows }) {
  const sums = added(rows);
  return html`<dl class="totals">${SUMS.map((name) => html`<div key=${name}><dt>${t(`usage.${name}`)}</dt><dd>${number(sums[name])}</dd></div>`)}</dl>`;
}

function Users({ rows }) {
  return html`<section class="card"><h2 id="usage-users">${t("usage.users")}</h2><div class="scroll" tabindex="0" role="region" aria-labelledby="usage-users"><table class="used stacking" aria-labelledby="usage-users">
    <thead><tr><th scope="col">${t("common.name")}</th><th scope="col">${t("usage.kind")}</th>${SUMS.map((name) => html`<th key=${name} scope="col" class="number">${t(`usage.${name}`)}</th>`)}</tr></thead>
    <tbody>${users(rows).map((user) => html`<tr key=${user.id}><th scope="row">${user.name}</th><td data-label=${t("usage.kind")}><div><span class="tag">${t(`usage.one_${user.kind}`)}</span></div></td>
      ${SUMS.map((name) => html`<td key=${name} class="number" data-label=${t(`usage.${name}`)}>${number(user[name])}</td>`)}</tr>`)}</tbody>
  </table></div></section>`;
}

export default function Usage() {
  const [days, setDays] = useState(30), [kind, setKind] = useState("all");
  const loaded = useLoaded(() => whenBack(() => api.get(`api/usage?days=${days}`)), [days]);
  if (!loaded.value) return html`<${PageHead} title=${t("usage.title")} /><${Pending} loaded=${loaded} />`;
  const { data, is_whole } = loaded.value;
  const kinds = KINDS.filter((name) => data.some((row) => row.kind === name));
  const rows = data.filter((row) => kind === "all" || row.kind === kind);
  const byDay = daysUntil(Date.now(), days).map((day) => ({ name: dayName(day), ...added(rows.filter((row) => row.day === day)) }));
  return html`<${PageHead} title=${t("usage.title")} note=${t(is_whole ? "usage.noteAll" : "usage.noteOwn")}>
      <button type="button" disabled=${!rows.length} onClick=${() => download(`${t("usage.title")} ${new Date().toISOString().slice(0, 10)}.csv`, csvOf(rows), "text/csv")}>
        <${Icon} name="down" />${t("usage.csv")}</button>
    </${PageHead}>
    <div class="row usage-choices">
      <${Choice} label=${t("usage.period")} value=${days} options=${[7, 30].map((count) => [count, t("usage.days", { n: count })])} onChange=${setDays} />
      ${kinds.length > 1 && html`<${Choice} label=${t("usage.show")} value=${kind} options=${["all", ...kinds].map((name) => [name, t(`usage.kind_${name}`)])} onChange=${setKind} />`}
    </div>
    ${rows.length === 0 ? html`<p class="empty">${t("usage.none")}</p>` : html`
      <${Totals} rows=${rows} />
      <section class="card"><h2>${t("usage.requests")}</h2>
        <${BarChart} label=${t("usage.requestsByDay")} xLabel=${t("usage.day")} hint=${t("usage.hint")} series=${[t("usage.requests")]} bars=${byDay.map(({ name, requests }) => ({ name, values: [requests] }))} height=${170} /></section>
      <section class="card"><h2>${t("usage.tokens")}</h2>
        <${BarChart} label=${t("usage.tokensByDay")} xLabel=${t("usage.day")} hint=${t("usage.hint")} series=${[t("usage.prompt_tokens"), t("usage.completion_tokens")]}
          bars=${byDay.map((day) => ({ name: day.name, values: [day.prompt_tokens, day.completion_tokens] }))} /></section>
      <${Users} rows=${rows} />`}
    <p class="help">${t("usage.utc")}</p>`;
}
