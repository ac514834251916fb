// The editor of a prompt: its title, whether it is saved, and its parts as tabs.
import { html, useEffect, useState } from "../html.js";
import { api } from "../api.js";
import { t } from "../words.js";
import { exported, withoutBlankExamples } from "../content.js";
import { useDraft } from "../draft.js";
import { saveVersion } from "../versions.js";
import { Dialog } from "../parts/dialog.js";
import { TextInput } from "../parts/text_input.js";
import { notify, notifyError } from "../parts/notices.js";
import { Pending, download, go } from "../parts/page.js";

const PARTS = [["", "editor_write"], ["test", "editor_test"], ["versions", "editor_versions"], ["share", "editor_share"]];

function ConflictDialog({ draft }) {
  const [isBusy, setBusy] = useState(false);
  const end = async (which) => {
    setBusy(true);
    try {
      const copy = await draft.take(which, (title) => t("editor.copyOf", { title }));
      notify(t("editor.conflictKept", { title: copy.title }));
    } catch (error) {
      notifyError(error);
    }
    setBusy(false);
  };
  return html`<${Dialog} title=${t("editor.conflict")} onClose=${() => {}}>
    <p>${t("editor.conflictText")}</p>
    <div class="row end">
      <button type="button" disabled=${isBusy} onClick=${() => end("theirs")}>${t("editor.takeTheirs")}</button>
      <button type="button" class="primary" disabled=${isBusy} onClick=${() => end("mine")}>${t("editor.takeMine")}</button>
    </div>
  </${Dialog}>`;
}

function SaveDialog({ draft, onSaved, onClose }) {
  const [note, setNote] = useState("");
  const save = async (text) => {
    try {
      const number = await saveVersion(draft, text);
      notify(t("editor.versionSaved", { number }), "info", { label: t("editor.showVersions"), run: () => go(`prompts/${draft.id}/versions`) });
      onSaved();
      onClose();
    } catch (error) {
      notifyError(error);
    }
  };
  return html`<${Dialog} title=${t("editor.saveVersion")} onClose=${onClose}>
    <p class="help">${t("editor.saveHelp")}</p>
    <label for="version-note">${t("editor.note")}</label>
    <${TextInput} id="version-note" value=${note} onInput=${setNote} onSubmit=${save} maxlength="200" />
    <div class="row end"><button type="button" class="primary" onClick=${() => save(note)}>${t("common.save")}</button></div>
  </${Dialog}>`;
}

export default function Editor({ id, part = "" }) {
  const draft = useDraft(id), [isSaving, setSaving] = useState(false), [nSaved, setSaved] = useState(0), [view, setView] = useState(null);
  const name = PARTS.find(([path]) => path === (part ?? ""))[1];
  useEffect(() => {
    let isCurrent = true;
    import(`./${name}.js`).then((module) => isCurrent && setView({ name, Part: module.default }), notifyError);
    return () => { isCurrent = false; };
  }, [name]);
  useEffect(() => { if (draft.title) document.title = `${draft.title} · hclx Studio`; }, [draft.title]);
  if (!draft.content) return html`<${Pending} loaded=${draft} />`;
  const duplicate = async () => {
    try {
      const copy = await api.post("api/prompts", { title: t("editor.copyOf", { title: draft.title }), content: draft.content });
      go(`prompts/${copy.id}`);
    } catch (error) {
      notifyError(error);
    }
  };
  return html`
    <header class="page-head">
      <div class="grow"><h1 class="hidden">${draft.title}</h1>
        <${TextInput} class="title" aria-label=${t("editor.title")} value=${draft.title} onInput=${draft.setTitle} maxlength="200" />
        ${draft.content.document.source && html`<span class="tag">${draft.content.document.source}</span>`}
        <p class=${`help state ${draft.state}`} role="status">${t(`editor.state_${draft.state}`)}${draft.error ? ` ${draft.error.message}` : ""}</p></div>
      <div class="row">
        <button type="button" onClick=${() => setSaving(true)}>${t("editor.saveVersion")}</button>
        <button type="button" class="plain" onClick=${duplicate}>${t("editor.duplicate")}</button>
        <button type="button" class="plain" onClick=${() => download(`${draft.title}.json`, exported(draft.title, draft.content))}>${t("editor.export")}</button>
      </div>
    </header>
    <nav class="tabs" aria-label=${t("editor.parts")}>${PARTS.map(([path, module]) => html`<a key=${path} href=${`#/prompts/${id}${path && `/${path}`}`}
      aria-current=${module === name ? "page" : undefined}>${t(`editor.${module}`)}</a>`)}</nav>
    ${view?.name === name ? html`<${view.Part} draft=${name === "editor_write" ? draft : { ...draft, content: withoutBlankExamples(draft.content) }} nSaved=${nSaved} />` : html`<${Pending} loaded=${{}} />`}
    ${isSaving && html`<${SaveDialog} draft=${draft} onSaved=${() => setSaved(nSaved + 1)} onClose=${() => setSaving(false)} />`}
    ${draft.conflict && html`<${ConflictDialog} draft=${draft} />`}`;
}
