// The examples of a prompt: a table whose columns are the slots of its template.
import { html, useRef, useState } from "../html.js";
import { api } from "../api.js";
import { number, t } from "../words.js";
import { mayAs, useSession } from "../session.js";
import { answerField, choicesOf, exampleColumns, hasChoices, itemOf, withDocument, withField, withoutBlankExamples } from "../content.js";
import { DataTable } from "./data_table.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { ImportDialog } from "./import_dialog.js";
import { notify, notifyError } from "./notices.js";
import { TextInput } from "./text_input.js";

const share = (value) => number(value, { style: "percent", maximumFractionDigits: 0 });

// How many examples each answer has.
function Balance({ examples, keys, field }) {
  const counts = keys.map((key) => examples.filter((example) => example[field] === key).length);
  const most = Math.max(1, ...counts);
  return html`<div class="balance"><span class="help">${t("examples.balance")}</span>
    <ul class="bars">${keys.map((key, index) => html`<li key=${key}><span>${key}</span>
      <meter min="0" max=${most} value=${counts[index]} aria-hidden="true"></meter><span class="number">${number(counts[index])}</span></li>`)}</ul></div>`;
}

const LEAST = 4; // examples of each answer that a report of biases needs, as the server has it
const BIASES = ["recency", "majority_label", "common_token"];

// report: of hclx.evaluate.bias, each effect before and after calibration.
function BiasDialog({ report, onClose }) {
  const effect = (when, name) => {
    const value = report[when]?.[name];
    return value ? html`<td class="number">${number(value.effect, { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" })}</td>` : html`<td></td>`;
  };
  return html`<${Dialog} title=${t("examples.biasTitle")} onClose=${onClose} isWide>
    <p class="help">${t("examples.biasHelp")}</p>
    <div class="scroll"><table><caption class="hidden">${t("examples.biasTitle")}</caption>
      <thead><tr><th scope="col">${t("examples.biasKind")}</th><th scope="col" class="number">${t("examples.biasBefore")}</th>
        <th scope="col" class="number">${t("examples.biasAfter")}</th><th scope="col">${t("examples.biasSeen")}</th></tr></thead>
      <tbody>${BIASES.filter((name) => report.before[name]).map((name) => html`<tr key=${name}><th scope="row">${t(`examples.bias_${name}`)}</th>
        ${effect("before", name)}${effect("after", name)}
        <td>${report.before[name].is_detected ? html`<span class="tag bad">${t("examples.biasYes")}</span>` : html`<span class="tag good">${t("examples.biasNo")}</span>`}</td></tr>`)}</tbody>
    </table></div>
    <p class="help">${t("examples.biasPrior")} ${report.labels.map((label, index) => `${label} ${share(report.prior[index])}`).join(", ")}</p>
    <details><summary>${t("examples.allFigures")}</summary><pre>${JSON.stringify(report, null, 2)}</pre></details>
  </${Dialog}>`;
}

function Bars({ shares }) {
  return html`<ul class="bars">${Object.entries(shares).map(([key, value]) => html`<li key=${key}><span>${key}</span>
    <meter min="0" max="1" value=${value} aria-hidden="true"></meter><span class="number">${share(value)}</span></li>`)}</ul>`;
}

// result: of POST api/calibrate for the input that was tried last.
function CalibrationDialog({ result, onClose }) {
  const { priors, before: [before], after: [after] } = result;
  return html`<${Dialog} title=${t("examples.calibrateTitle")} onClose=${onClose}>
    <p class="help">${t("examples.calibrateHelp")}</p>
    <${Bars} shares=${priors} />
    ${before && html`<h3>${t("examples.before", { answer: before.answer })}</h3><${Bars} shares=${before.choices} />
      <h3>${t("examples.after", { answer: after.answer })}</h3><${Bars} shares=${after.choices} />`}
  </${Dialog}>`;
}

function RenameDialog({ names, onRename, onClose }) {
  const [typed, setTyped] = useState({});
  const isFree = (from, to) => to && !/[{}:]/.test(to) && to.trim() === to && (to === from || !names.includes(to));
  return html`<${Dialog} title=${t("examples.columns")} onClose=${onClose}>
    <p class="help">${t("examples.columnsHelp")}</p>
    ${names.map((name) => html`<${Field} key=${name} label=${name} error=${name in typed && !isFree(name, typed[name]) ? t("examples.columnTaken") : null}>
      ${(attributes) => html`<${TextInput} ...${attributes} value=${typed[name] ?? name} onInput=${(text) => setTyped({ ...typed, [name]: text })} />`}</${Field}>`)}
    <div class="row end"><button type="button" class="primary" onClick=${() => onRename(Object.entries(typed).filter(([from, to]) => from !== to && isFree(from, to)))}>${t("common.ok")}</button></div>
  </${Dialog}>`;
}

export function Examples({ content, change, promptId }) {
  const session = useSession(), mayTune = session.has_tuning && mayAs(session, "maker");
  const { document } = content, examples = document.examples ?? [], columns = exampleColumns(document), field = answerField(document);
  const [open, setOpen] = useState(null), [isBusy, setBusy] = useState(false), controls = useRef(null);
  const put = (rows) => change((latest) => withDocument(latest, { examples: rows.length ? rows : undefined }));
  const keys = hasChoices(document) ? Object.keys(choicesOf(document)) : null;
  const empty = () => Object.fromEntries(columns.map((name) => [name, ""]));
  const add = () => (examples.length ? controls.current.addRow() : put([empty()]));
  const ask = async (path, show, more) => {
    setBusy(true);
    try {
      show(await api.post(path, { content: withoutBlankExamples(content), ...more }));
    } catch (error) {
      notifyError(error);
    } finally {
      setBusy(false);
    }
  };
  const few = keys?.some((key) => examples.filter((example) => example[field] === key).length < LEAST);
  const showBias = () => (few ? notify(t("examples.biasFew", { n: LEAST }), "error") : ask("api/bias", (report) => setOpen({ report }), {}));
  const rename = (pairs) => {
    change((latest) => pairs.reduce((changed, [from, to]) => withField(changed, from, to), latest));
    setOpen(null);
  };
  return html`<section class="card" aria-label=${t("examples.title")}>
    <div class="row"><h2 class="grow">${t("examples.title")} <span class="help">${t("common.rows", { n: number(examples.length) })}</span></h2>
      <button type="button" onClick=${add}><${Icon} name="plus" />${t("examples.add")}</button>
      <button type="button" onClick=${() => setOpen("import")}><${Icon} name="file" />${t("examples.import")}</button>
      ${mayTune && examples.length > 0 && html`<a class="button" href=${`#/tune/new?prompt=${promptId}`}><${Icon} name="tune" />${t("examples.tune")}</a>`}
      <button type="button" class="plain" title=${t("examples.columnsHelp")} onClick=${() => setOpen("columns")}>${t("examples.columns")}</button></div>
    ${examples.length === 0 ? html`<p class="help">${t("examples.none")}</p>` : html`<${DataTable} label=${t("examples.title")} rows=${examples} onChange=${put} height=${420} newRow=${empty} controls=${controls}
      columns=${columns.map((name) => ({ name, label: name === field ? t("examples.answer", { name }) : name, options: name === field ? keys : null }))} />`}
    ${keys?.length > 0 && examples.length > 0 && html`<${Balance} examples=${examples} keys=${keys} field=${field} />
      <div class="row"><button type="button" disabled=${isBusy} title=${t("examples.biasHelp")} onClick=${showBias}>${t("examples.bias")}</button>
        <button type="button" disabled=${isBusy} title=${t("examples.calibrateHelp")} onClick=${() => ask("api/calibrate", (calibration) => setOpen({ calibration }), { items: [itemOf(content)] })}>${t("examples.calibrate")}</button></div>`}
    ${open === "import" && html`<${ImportDialog} columns=${columns} onClose=${() => setOpen(null)} onRows=${(rows) => { put([...examples, ...rows]); setOpen(null); }} />`}
    ${open === "columns" && html`<${RenameDialog} names=${columns} onRename=${rename} onClose=${() => setOpen(null)} />`}
    ${open?.report && html`<${BiasDialog} report=${open.report} onClose=${() => setOpen(null)} />`}
    ${open?.calibration && html`<${CalibrationDialog} result=${open.calibration} onClose=${() => setOpen(null)} />`}
  </section>`;
}
