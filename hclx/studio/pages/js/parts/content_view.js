// A prompt to be read, and not edited: what it says, its examples, and how it is set.
import { html } from "../html.js";
import { number, t } from "../words.js";
import { answerField, choicesOf, exampleColumns, freeText, hasChoices, kindOf } from "../content.js";
import { parseTemplate } from "../template.js";
import { DataTable } from "./data_table.js";

const HEIGHT = 320; // of the table of examples, in pixels

// A template with its slots told apart from its text.
export function Template({ source }) {
  const parts = parseTemplate(source) ?? [source];
  return html`<p class="template">${parts.map((part) => (typeof part === "string" ? part
    : html`<mark>${part.field}${part.particle && `:${part.particle}`}</mark>`))}</p>`;
}

const breaks = (text) => text.replace(/\n/g, "⏎");

function Knobs({ content }) {
  const { document } = content;
  const knobs = Object.entries(document.sampling ?? {}).map(([name, value]) => [label(`knobs.${name}`, name), typeof value === "number" ? number(value) : JSON.stringify(value)]);
  if (document.stop?.length) knobs.push([t("knobs.stop"), [document.stop].flat().map(breaks).join(" , ")]);
  if (content.n > 1) knobs.push([t("knobs.n"), number(content.n)]);
  if (content.model) knobs.push([t("knobs.model"), content.model]);
  if (!knobs.length) return null;
  return html`<h3>${t("knobs.title")}</h3><dl class="facts">${knobs.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export const label = (key, otherwise) => (t(key) === key ? otherwise : t(key));

function Choices({ document }) {
  return html`<h3>${t("kind.choose")}</h3><ul class="chips plain">${Object.entries(choicesOf(document)).map(([key, text]) => html`<li class="chip" key=${key}>
    ${key === text ? key : `${key} (${text})`}</li>`)}</ul>`;
}

function Turns({ chat }) {
  return html`${chat.system && html`<h3>${t("chat.system")}</h3><p class="template">${chat.system}</p>`}
    <div class="bubbles">${(chat.turns ?? []).map((turn, index) => html`<div key=${index}><p class="bubble user">${turn.user}</p><p class="bubble">${turn.assistant}</p></div>`)}</div>`;
}

// content: as a version has it; drafts may lack anything.
export function ContentView({ content }) {
  const { document } = content, examples = document.examples ?? [], field = answerField(document);
  if (content.view === "chat") return html`<div class="content-view"><${Turns} chat=${content.chat ?? {}} /><${Knobs} content=${content} /></div>`;
  if (content.view === "text") return html`<div class="content-view"><h3>${t("write.freeText")}</h3><p class="template">${freeText(content)}</p><${Knobs} content=${content} /></div>`;
  return html`<div class="content-view">
    ${document.directive && html`<h3>${t("write.directive")}</h3><${Template} source=${document.directive.trimEnd()} />`}
    ${hasChoices(document) && html`<${Choices} document=${document} />`}
    ${kindOf(document) === "shape" && html`<h3>${t("kind.shape")}</h3><pre>${JSON.stringify(document.grammar, null, 2)}</pre>`}
    <h3>${t("write.template")}</h3><${Template} source=${(document.input ?? "") + (document.answer ?? "")} />
    ${examples.length > 0 && html`<h3>${t("examples.title")} <span class="help">${t("common.rows", { n: number(examples.length) })}</span></h3>
      <${DataTable} label=${t("examples.title")} rows=${examples} height=${HEIGHT}
        columns=${exampleColumns(document).map((name) => ({ name, label: name === field ? t("examples.answer", { name }) : name }))} />`}
    <${Knobs} content=${content} />
  </div>`;
}
