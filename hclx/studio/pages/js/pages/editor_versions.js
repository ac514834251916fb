// The versions of a prompt: what differs between two of them, and the way back to any.
import { html, useEffect, useState } from "../html.js";
import { api } from "../api.js";
import { date, t } from "../words.js";
import { exported } from "../content.js";
import { DRAFT, loadVersion, saveVersion, useKept, useVersions } from "../versions.js";
import { ContentView } from "../parts/content_view.js";
import { Dialog } from "../parts/dialog.js";
import { DiffView } from "../parts/diff_view.js";
import { Field } from "../parts/field.js";
import { Icon } from "../parts/icons.js";
import { notify } from "../parts/notices.js";
import { Pending, download, go, useAction, useLoaded } from "../parts/page.js";

export const nameOf = (number) => (number === DRAFT ? t("versions.draft") : t("versions.number", { number }));

function Picker({ label, versions, value, onChange }) {
  return html`<${Field} label=${label}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(Number(event.currentTarget.value))}>
    ${[{ number: DRAFT }, ...versions].map(({ number, note }) => html`<option key=${number} value=${number} selected=${number === value}>
      ${nameOf(number)}${note ? ` · ${note}` : ""}</option>`)}</select>`}</${Field}>`;
}

function Compare({ draft, versions, pair, setPair }) {
  const [before, after] = pair, now = { title: draft.title, content: draft.content };
  const loaded = useLoaded(() => Promise.all(pair.map((number) => (number === DRAFT ? null : loadVersion(draft.id, number)))), pair);
  return html`<section class="card" aria-label=${t("versions.compare")}>
    <h2 id="compare" tabindex="-1">${t("versions.compare")}</h2>
    <div class="pair">
      <${Picker} label=${t("versions.before")} versions=${versions} value=${before} onChange=${(number) => setPair([number, after])} />
      <button type="button" class="plain" aria-label=${t("versions.swap")} title=${t("versions.swap")} onClick=${() => setPair([after, before])}>⇄</button>
      <${Picker} label=${t("versions.after")} versions=${versions} value=${after} onChange=${(number) => setPair([before, number])} />
    </div>
    ${loaded.value?.length ? html`<${DiffView} before=${loaded.value[0] ?? now} after=${loaded.value[1] ?? now} />` : html`<${Pending} loaded=${loaded} />`}
  </section>`;
}

// Before the draft is replaced it is offered to be kept, unless the newest version is the same.
function RestoreDialog({ draft, version, isKept, onClose, onRestored }) {
  const [isBusy, restore] = useAction(async (keepsDraft) => {
    if (keepsDraft) await saveVersion(draft, t("versions.beforeRestore", { number: version.number }));
    draft.setTitle(version.title);
    draft.change(version.content);
    notify(t("versions.restored", { number: version.number }), "info", { label: t("editor.editor_write"), run: () => go(`prompts/${draft.id}`) });
    onRestored();
  });
  return html`<${Dialog} title=${t("versions.restoreTitle", { number: version.number })} onClose=${onClose}>
    <p>${isKept ? t("versions.restoreKept") : t("versions.restoreText")}</p>
    <div class="row end">
      <button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      ${!isKept && html`<button type="button" disabled=${isBusy} onClick=${() => restore(false)}>${t("versions.restoreOnly")}</button>`}
      <button type="button" class="primary" autofocus disabled=${isBusy} onClick=${() => restore(!isKept)}>${isKept ? t("versions.restore") : t("versions.keepAndRestore")}</button>
    </div>
  </${Dialog}>`;
}

function ViewDialog({ version, onClose }) {
  return html`<${Dialog} title=${`${nameOf(version.number)} · ${version.title}`} onClose=${onClose} isWide>
    ${version.note && html`<p>${version.note}</p>`}<${ContentView} content=${version.content} />
  </${Dialog}>`;
}

function Entry({ draft, head, onCompare, onOpen }) {
  const { number, note, author, created, title } = head, name = nameOf(number);
  const [isBusy, act] = useAction(async (action) => action(await loadVersion(draft.id, number)));
  const copy = async (version) => go(`prompts/${(await api.post("api/prompts", { title: t("editor.copyOf", { title: version.title }), content: version.content })).id}`);
  const button = (label, icon, action) => html`<button type="button" class="plain" disabled=${isBusy} aria-label=${`${name}: ${label}`} onClick=${() => act(action)}>
    <${Icon} name=${icon} />${label}</button>`;
  return html`<li>
    <div class="grow"><strong>${name}</strong>${note && ` · ${note}`}<p class="help">${[date(created), author, title !== draft.title && title].filter(Boolean).join(" · ")}</p></div>
    <div class="row">
      <button type="button" class="plain" aria-label=${`${name}: ${t("versions.compareNow")}`} onClick=${onCompare}><${Icon} name="redo" />${t("versions.compareNow")}</button>
      ${button(t("versions.view"), "prompts", (version) => onOpen({ view: version }))}
      ${button(t("versions.restore"), "undo", (version) => onOpen({ restore: version }))}
      ${button(t("versions.copy"), "copy", copy)}
      ${button(t("editor.export"), "down", (version) => download(`${version.title} ${name}.json`, exported(version.title, version.content)))}
    </div></li>`;
}

export default function EditorVersions({ draft, nSaved }) {
  const [n, setN] = useState(0), loaded = useVersions(draft.id, `${nSaved} ${n}`), versions = loaded.value;
  const [pair, setPair] = useState(null), [open, setOpen] = useState(null), kept = useKept(draft, versions);
  useEffect(() => {
    if (versions?.length) setPair((before) => before ?? [versions[0].number, DRAFT]);
  }, [versions]);
  if (!versions) return html`<${Pending} loaded=${loaded} />`;
  if (!versions.length) return html`<div class="empty"><h2>${t("versions.none")}</h2><p>${t("versions.noneHelp")}</p></div>`;
  const compare = (number) => {
    setPair([number, DRAFT]);
    document.getElementById("compare")?.focus();
  };
  return html`
    <p class="help" role="status">${kept ? t("versions.isKept", { number: kept }) : t("versions.isNotKept")}</p>
    <ul class="card plain-list" aria-label=${t("editor.editor_versions")}>${versions.map((head) => html`<${Entry} key=${head.number} draft=${draft} head=${head}
      onCompare=${() => compare(head.number)} onOpen=${setOpen} />`)}</ul>
    ${pair && html`<${Compare} draft=${draft} versions=${versions} pair=${pair} setPair=${setPair} />`}
    ${open?.view && html`<${ViewDialog} version=${open.view} onClose=${() => setOpen(null)} />`}
    ${open?.restore && html`<${RestoreDialog} draft=${draft} version=${open.restore} isKept=${kept !== null} onClose=${() => setOpen(null)}
      onRestored=${() => { setOpen(null); setN(n + 1); }} />`}`;
}
