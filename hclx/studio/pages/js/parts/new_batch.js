// A new batch: a prompt, a file, and which column goes where.
import { html, useEffect, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { number, t } from "../words.js";
import { fieldsOfContent, runnable } from "../test_settings.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { notifyError } from "./notices.js";
import { Pending, go, useAction, useLoaded } from "./page.js";
import { TextInput } from "./text_input.js";

const DRAFT = "draft";
const PREVIEW_MS = 300;

// The columns as the batch has them: those that are bound have the names of their slots, all others stay.
export function boundTable({ columns, rows }, fields, bound) {
  const slotOf = (column) => fields.find((field) => bound[field] === column);
  const names = columns.map((column) => slotOf(column) ?? (fields.includes(column) ? `${column}_` : column));
  const more = fields.filter((field) => !names.includes(field));
  const at = (field) => columns.indexOf(bound[field]);
  return { columns: [...names, ...more], rows: rows.map((row) => [...columns.map((_, index) => String(row[index] ?? "")), ...more.map((field) => String(row[at(field)] ?? ""))]) };
}

// The likeliest column for each slot: of the same name, or the only one that there is.
export function guessed(fields, columns) {
  const same = (field) => columns.find((column) => column.trim().toLowerCase() === field.toLowerCase());
  return Object.fromEntries(fields.map((field) => [field, same(field) ?? (fields.length === 1 && columns.length === 1 ? columns[0] : "")]));
}

const Select = ({ label, value, options, onChange, none }) => html`<${Field} label=${label}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(event.currentTarget.value)}>
  ${none && html`<option value="" selected=${!value}>${none}</option>`}
  ${options.map(([option, text]) => html`<option key=${option} value=${option} selected=${option === value}>${text}</option>`)}</select>`}</${Field}>`;

// The content of a prompt's draft or version, as it is loaded: {prompt, content}.
function useContent(id, which) {
  const [prompt, setPrompt] = useState(null), [content, setContent] = useState(null);
  useEffect(() => {
    setPrompt(null);
    if (id) whenBack(() => api.get(`api/prompts/${id}`)).then(setPrompt, notifyError);
  }, [id]);
  useEffect(() => {
    setContent(null);
    if (!prompt) return;
    if (which === DRAFT) setContent(prompt.content);
    else whenBack(() => api.get(`api/prompts/${id}/versions/${which}`)).then((version) => setContent(version.content), notifyError);
  }, [prompt, which]);
  return { prompt, content };
}

// What the model reads for the first row, and how much that is.
function FirstRow({ content, fields, bound, file, onReady }) {
  const [preview, setPreview] = useState(null), isBound = fields.every((field) => bound[field]);
  const item = Object.fromEntries(fields.map((field) => [field, String(file.rows[0]?.[file.columns.indexOf(bound[field])] ?? "")]));
  const asked = JSON.stringify([content.document, content.model, item]);
  useEffect(() => {
    onReady(false);
    if (!isBound) return undefined;
    const control = new AbortController();
    const timer = setTimeout(() => api.post("api/preview", { content: runnable(content), item }, { signal: control.signal }).then((next) => {
      setPreview(next);
      onReady(!next.error);
    }, notifyError), PREVIEW_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [asked, isBound]);
  if (!isBound || !preview) return null;
  if (preview.error) return html`<p class="error" role="alert">${t("batches.invalid")} ${preview.error.code === "context_length_exceeded" ? t("problems.tooLong") : preview.error.message}</p>`;
  return html`<details><summary>${t("batches.preview")}</summary><pre class="whole">${preview.text}</pre></details>
    <p class="help">${t("batches.estimate", { perRow: number(preview.tokens), all: number(preview.tokens * file.rows.length) })} ${t("batches.quotaHint")}</p>`;
}

export function NewBatch({ onClose }) {
  const prompts = useLoaded(() => whenBack(() => api.get("api/prompts"))), [id, setId] = useState(""), [which, setWhich] = useState(DRAFT);
  const [file, setFile] = useState(null), [bound, setBound] = useState({}), [name, setName] = useState(""), [isReady, setReady] = useState(false);
  const { prompt, content } = useContent(id, which), fields = content ? fieldsOfContent(content) : [];
  const key = fields.join("\n") + (file?.columns.join("\n") ?? "");
  useEffect(() => { if (file && content) setBound(guessed(fields, file.columns)); }, [key]);
  const [isReading, read] = useAction(async (chosen) => {
    const table = await api.upload(`api/read_file?name=${encodeURIComponent(chosen.name)}`, chosen);
    setFile({ ...table, name: chosen.name });
    setName((before) => before || chosen.name.replace(/\.[^.]*$/, ""));
  });
  const [isSending, start] = useAction(async () => {
    const { id: batch } = await api.post("api/batches", { name: name.trim() || file.name, content: runnable(content), ...boundTable(file, fields, bound) });
    go(`batches/${batch}`);
  });
  if (!prompts.value) return html`<${Dialog} title=${t("batches.newTitle")} onClose=${onClose} isWide><${Pending} loaded=${prompts} /></${Dialog}>`;
  const { data } = prompts.value;
  return html`<${Dialog} title=${t("batches.newTitle")} onClose=${onClose} isWide>
    ${data.length === 0 && html`<p>${t("batches.noPrompts")}</p><a class="button" href="#/prompts">${t("batches.toPrompts")}</a>`}
    ${data.length > 0 && html`<div class="fields">
      <${Select} label=${t("batches.prompt")} value=${id} none=${t("batches.pickPrompt")} options=${data.map((each) => [each.id, each.title])} onChange=${(next) => { setId(next); setWhich(DRAFT); }} />
      ${prompt?.versions.length > 0 && html`<${Select} label=${t("batches.which")} value=${String(which)} onChange=${(next) => setWhich(next === DRAFT ? DRAFT : Number(next))}
        options=${[[DRAFT, t("batches.draft")], ...prompt.versions.map((version) => [String(version.number), `${t("batches.version", { number: version.number })}${version.note ? ` · ${version.note}` : ""}`])]} />`}
    </div>
    <${Field} label=${t("batches.file")} help=${t("import.help")}>${(attributes) => html`<input ...${attributes} type="file" accept=".csv,.tsv,.jsonl,.json,.txt"
      onChange=${(event) => event.currentTarget.files[0] && read(event.currentTarget.files[0])} />`}</${Field}>
    ${isReading && html`<p role="status">${t("common.loading")}</p>`}`}
    ${file && html`<p role="status"><strong>${file.name}</strong> · ${t("common.rows", { n: number(file.rows.length) })} · ${file.encoding}</p>`}
    ${file && content && html`
      ${fields.length === 0 ? html`<p class="warning">${t("batches.noSlots")}</p>` : html`<h3>${t("batches.bindTitle")}</h3><div class="fields">
        ${fields.map((field) => html`<${Select} key=${field} label=${t("batches.slot", { name: field })} value=${bound[field] ?? ""} none=${t("batches.pickColumn")} options=${file.columns.map((column) => [column, column])}
          onChange=${(column) => setBound({ ...bound, [field]: column })} />`)}</div>`}
      <${FirstRow} content=${content} fields=${fields} bound=${bound} file=${file} onReady=${setReady} />
      <${Field} label=${t("batches.name")}>${(attributes) => html`<${TextInput} ...${attributes} value=${name} onInput=${setName} maxlength="200" />`}</${Field}>`}
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      ${file && html`<button type="button" class="primary" disabled=${!isReady || isSending || !file.rows.length || !fields.length} onClick=${start}><${Icon} name="play" />${t("batches.start", { n: number(file.rows.length) })}</button>`}</div>
  </${Dialog}>`;
}
