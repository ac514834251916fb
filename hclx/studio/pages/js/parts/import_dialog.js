// Reads a file of rows (CSV, TSV, JSON lines; UTF-8 or CP949) and binds its columns to those that are needed.
import { html, useState } from "../html.js";
import { api } from "../api.js";
import { number, t } from "../words.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { useAction } from "./page.js";

const SHOWN = 3; // rows of the preview

// The likeliest column of a file for a name: the same, or the one at the same place.
function guess(names, columns) {
  const same = (name) => columns.find((column) => column.trim().toLowerCase() === name.toLowerCase());
  const free = columns.filter((column) => !names.some((name) => same(name) === column));
  return Object.fromEntries(names.map((name) => [name, same(name) ?? free.shift() ?? ""]));
}

// columns: names that rows need; null: all columns of the file are taken. onRows(rows, {name, columns}) gets objects.
export function ImportDialog({ columns, onRows, onClose }) {
  const [file, setFile] = useState(null), [bound, setBound] = useState({});
  const [isBusy, read] = useAction(async (chosen) => {
    const table = await api.upload(`api/read_file?name=${encodeURIComponent(chosen.name)}`, chosen);
    setFile({ ...table, name: chosen.name });
    setBound(guess(columns ?? table.columns, table.columns));
  });
  const take = () => {
    const at = Object.fromEntries(file.columns.map((column, index) => [column, index]));
    const names = columns ?? file.columns;
    const rows = file.rows.map((row) => Object.fromEntries(names.map((name) => [name, bound[name] ? String(row[at[bound[name]]] ?? "") : ""])));
    onRows(rows, { name: file.name, columns: names });
  };
  return html`<${Dialog} title=${t("import.title")} onClose=${onClose} isWide>
    <${Field} label=${t("import.file")} help=${t("import.help")}>${(attributes) => html`<input ...${attributes} type="file" accept=".csv,.tsv,.jsonl,.json,.txt"
      onChange=${(event) => event.currentTarget.files[0] && read(event.currentTarget.files[0])} />`}</${Field}>
    ${isBusy && html`<p role="status">${t("common.loading")}</p>`}
    ${file && html`
      <p><strong>${file.name}</strong> · ${t("common.rows", { n: number(file.rows.length) })} · ${file.encoding}</p>
      ${columns && html`<h3>${t("import.bind")}</h3>
        ${columns.map((name) => html`<${Field} key=${name} label=${name}>${(attributes) => html`<select ...${attributes} onChange=${(event) => setBound({ ...bound, [name]: event.currentTarget.value })}>
          <option value="" selected=${!bound[name]}>${t("import.leaveEmpty")}</option>
          ${file.columns.map((column) => html`<option key=${column} value=${column} selected=${column === bound[name]}>${column}</option>`)}</select>`}</${Field}>`)}`}
      <div class="scroll"><table><thead><tr>${file.columns.map((column) => html`<th key=${column} scope="col">${column}</th>`)}</tr></thead>
        <tbody>${file.rows.slice(0, SHOWN).map((row, index) => html`<tr key=${index}>${file.columns.map((column, at) => html`<td key=${column}>${row[at]}</td>`)}</tr>`)}</tbody></table></div>
      <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
        <button type="button" class="primary" onClick=${take}>${t("import.take", { n: number(file.rows.length) })}</button></div>`}
  </${Dialog}>`;
}
