// The first step of tuning: rows from a prompt, or from a file whose columns are bound to a prompt, and what is wrong with them.
import { html, useEffect, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { number, t } from "../words.js";
import { answerField, choicesOf, hasChoices } from "../content.js";
import { Choice, Field } from "./field.js";
import { Icon } from "./icons.js";
import { ImportDialog } from "./import_dialog.js";
import { notifyError } from "./notices.js";
import { checkRows, plainDocument, rowColumns, rowsOfPrompt } from "./tune_rows.js";

const SHOWN = 3;

function PromptField({ prompts, value, onChange, mayBeNone }) {
  return html`<${Field} label=${t("tune.prompt")} help=${t(mayBeNone ? "tune.promptFileHelp" : "tune.promptHelp")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(event.currentTarget.value)}>
    <option value="" selected=${!value}>${t(mayBeNone ? "tune.noPrompt" : "tune.choosePrompt")}</option>
    ${prompts.map((prompt) => html`<option key=${prompt.id} value=${prompt.id} selected=${prompt.id === value}>${prompt.title}</option>`)}</select>`}</${Field}>`;
}

function Balance({ rows, document }) {
  const keys = Object.keys(choicesOf(document)), counts = keys.map((key) => rows.filter((row) => row[answerField(document)] === key).length);
  return html`<ul class="bars balance">${keys.map((key, index) => html`<li key=${key}><span>${key}</span>
    <meter min="0" max=${Math.max(1, ...counts)} value=${counts[index]} aria-hidden="true"></meter><span class="number">${number(counts[index])}</span></li>`)}</ul>`;
}

// What rows look like, and what is wrong with them.
export function RowsReport({ rows, document, nTested }) {
  const columns = rowColumns(document), answer = columns.at(-1);
  const label = (name) => (name === answer && name === "answer" ? t("tune.plainAnswer") : name);
  const problems = checkRows(rows, document);
  return html`<div class="rows-report">
    <p role="status"><strong>${t("tune.nRows", { n: number(rows.length) })}</strong>${nTested > 0 && html` · ${t("tune.nTested", { n: number(nTested) })}`}</p>
    ${problems.map(({ code, isError, values }) => html`<p key=${code} class=${isError ? "error" : "warning"}>${t(`tune.check_${code}`, values)}</p>`)}
    ${rows.length > 0 && hasChoices(document) && html`<${Balance} rows=${rows} document=${document} />`}
    ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${t("tune.firstRows")}><table><caption class="hidden">${t("tune.firstRows")}</caption>
      <thead><tr>${columns.map((name) => html`<th key=${name} scope="col">${label(name)}</th>`)}</tr></thead>
      <tbody>${rows.slice(0, SHOWN).map((row, index) => html`<tr key=${index}>${columns.map((name) => html`<td key=${name}><div class="clamped">${row[name]}</div></td>`)}</tr>`)}</tbody></table></div>
      ${rows.length > SHOWN && html`<p class="help">${t("tune.moreRows", { n: number(rows.length - SHOWN) })}</p>`}`}
  </div>`;
}

// plan: {source, prompt: id, fileRows, fileName, tested: "measure"|"learn"|"leave"}; change merges into it.
// onReady({rows, tested, document, title}) tells what there is; null: nothing yet.
export function TuneExamples({ plan, change, prompts, onReady }) {
  const [loaded, setLoaded] = useState(null), [isOpen, setOpen] = useState(false), isFile = plan.source === "file";
  useEffect(() => {
    let isCurrent = true;
    setLoaded(null);
    if (!plan.prompt) return undefined;
    promptWithTable(plan.prompt).then((value) => isCurrent && setLoaded(value), (error) => isCurrent && (error.status === 404 ? change({ prompt: "" }) : notifyError(error)));
    return () => { isCurrent = false; };
  }, [plan.prompt]);
  const document = plan.prompt ? loaded?.content.document ?? null : plainDocument(t("tune.plainInput"), t("tune.plainAnswer"));
  const made = loaded && !isFile ? rowsOfPrompt(loaded.content, loaded.table) : { examples: [], tested: [] };
  const rows = isFile ? plan.fileRows ?? [] : plan.tested === "learn" ? [...made.examples, ...made.tested] : made.examples;
  const tested = !isFile && plan.tested === "measure" ? made.tested : [];
  const isReady = isFile ? Boolean(plan.fileRows) && (!plan.prompt || loaded) : Boolean(loaded);
  useEffect(() => {
    onReady(isReady ? { rows, tested, document, title: loaded?.title ?? plan.fileName?.replace(/\.\w+$/, "") ?? "" } : null);
  }, [isReady, loaded, plan.source, plan.fileRows, plan.tested]);
  const take = (fileRows, { name }) => {
    change({ fileRows, fileName: name });
    setOpen(false);
  };
  return html`
    <${Choice} label=${t("tune.source")} value=${plan.source} options=${["prompt", "file"].map((name) => [name, t(`tune.source_${name}`)])} onChange=${(source) => change({ source })} />
    <${PromptField} prompts=${prompts} value=${plan.prompt} mayBeNone=${isFile} onChange=${(id) => change({ prompt: id, fileRows: null, fileName: null })} />
    ${isFile && html`<div class="row"><button type="button" class=${plan.fileRows ? "" : "primary"} disabled=${plan.prompt && !loaded} onClick=${() => setOpen(true)}><${Icon} name="file" />${t(plan.fileRows ? "tune.otherFile" : "tune.chooseFile")}</button>
      ${plan.fileName && html`<span class="help">${plan.fileName}</span>`}</div>`}
    ${!isFile && made.tested.length > 0 && html`<${Choice} label=${t("tune.tested", { n: number(made.tested.length) })} value=${plan.tested}
      options=${["measure", "learn", "leave"].map((name) => [name, t(`tune.tested_${name}`)])} onChange=${(use) => change({ tested: use })} />`}
    ${!isFile && loaded && checkRows(rows, document).some(({ isError }) => isError) && html`<p><a href=${`#/prompts/${plan.prompt}`}>${t("tune.mend")}</a></p>`}
    ${isReady && html`<${RowsReport} rows=${rows} document=${document} nTested=${tested.length} />`}
    ${isOpen && html`<${ImportDialog} columns=${rowColumns(document)} onRows=${take} onClose=${() => setOpen(false)} />`}`;
}

async function promptWithTable(id) {
  const { title, content } = await whenBack(() => api.get(`api/prompts/${id}`));
  const table = content.table ? await whenBack(() => api.get(`api/tables/${content.table}`)).catch(() => null) : null;
  return { title, content, table };
}
