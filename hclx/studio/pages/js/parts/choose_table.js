// The start of a test: an empty table, a file, or a table that is there already.
import { html, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { date, t } from "../words.js";
import { fieldsOfContent } from "../test_settings.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { ImportDialog } from "./import_dialog.js";
import { useAction, useLoaded } from "./page.js";

const EMPTY_ROWS = 5;

// The columns of a new table: the slots of the prompt, and the gold answer.
export function newColumns(content) {
  const fields = fieldsOfContent(content), label = t("test.gold");
  return fields.includes(label) ? fields : [...fields, label];
}

// onChoose gets the id of a table.
export function ChooseTable({ content, title, onChoose, onCancel }) {
  const tables = useLoaded(() => whenBack(() => api.get("api/tables"))), [chosen, setChosen] = useState(""), [isImporting, setImporting] = useState(false);
  const columns = newColumns(content);
  const [isBusy, create] = useAction(async (name, rows) => {
    const { id } = await api.post("api/tables", { name, columns, rows: rows.map((row) => columns.map((column) => row[column] ?? "")) });
    onChoose(id);
  });
  const list = tables.value?.data ?? [];
  return html`<section class="card choose-table">
    <h2>${t("test.chooseTitle")}</h2><p>${t("test.chooseText")}</p>
    <div class="row">
      <button type="button" class="primary" disabled=${isBusy} onClick=${() => create(t("test.tableOf", { title }), Array.from({ length: EMPTY_ROWS }, () => ({})))}><${Icon} name="plus" />${t("test.newTable")}</button>
      <button type="button" disabled=${isBusy} onClick=${() => setImporting(true)}><${Icon} name="file" />${t("test.fromFile")}</button>
      ${onCancel && html`<button type="button" class="plain" onClick=${onCancel}>${t("common.cancel")}</button>`}
    </div>
    ${list.length > 0 && html`<div class="row old-tables"><div class="grow"><${Field} label=${t("test.oldTable")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => setChosen(event.currentTarget.value)}>
        <option value="">${t("test.pickTable")}</option>
        ${list.map((table) => html`<option key=${table.id} value=${table.id} selected=${table.id === chosen}>${table.name} · ${date(table.updated)}</option>`)}</select>`}</${Field}></div>
      <button type="button" disabled=${!chosen} onClick=${() => onChoose(chosen)}>${t("test.useTable")}</button></div>`}
    ${isImporting && html`<${ImportDialog} columns=${columns} onClose=${() => setImporting(false)} onRows=${(rows, file) => { setImporting(false); create(file.name, rows); }} />`}
  </section>`;
}
