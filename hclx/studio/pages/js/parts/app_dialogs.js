// Dialogs about an app: its key, which is shown once, and what of it can be changed.
import { html, useState } from "../html.js";
import { api } from "../api.js";
import { number as formatted, t } from "../words.js";
import { appLink, quotaOf } from "../apps.js";
import { useVersions } from "../versions.js";
import { CopyLine } from "./copy_line.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { Pending, useAction } from "./page.js";
import { TextInput } from "./text_input.js";

export function SecretDialog({ app, secret, onClose }) {
  return html`<${Dialog} title=${t("share.appReady", { title: app.title })} onClose=${onClose} isWide>
    <p class="warning">${t("share.once")}</p>
    <${CopyLine} label=${t("share.appLink")} help=${t("share.appLinkHelp")} text=${appLink(app.slug, secret)} />
    <${CopyLine} label=${t("share.key")} help=${t("share.keyHelp")} text=${secret} />
    <div class="row end"><a class="button" href=${appLink(app.slug, secret)} target="_blank" rel="noopener">${t("share.tryApp")}</a>
      <button type="button" class="primary" onClick=${onClose}>${t("share.kept")}</button></div>
  </${Dialog}>`;
}

export function QuotaField({ value, onInput, error }) {
  return html`<${Field} label=${t("share.quota")} help=${t("share.quotaHelp")} error=${quotaOf(value) === null ? t("share.noQuota") : error}>
    ${(attributes) => html`<${TextInput} ...${attributes} inputmode="numeric" value=${value} onInput=${onInput} />`}</${Field}>`;
}

// onChanged(app) gets what the server has made of it.
export function ChangeDialog({ app, onChanged, onClose }) {
  const loaded = useVersions(app.prompt, 0), quotaBefore = app.limits.requests_per_day;
  const [title, setTitle] = useState(app.title), [number, setNumber] = useState(app.number), [quota, setQuota] = useState(quotaBefore ? String(quotaBefore) : "");
  const [isBusy, change] = useAction(async () => {
    const requests_per_day = quotaOf(quota);
    if (requests_per_day === null || !title.trim()) return;
    onChanged(await api.patch(`api/apps/${app.slug}`, { title, number, limits: { requests_per_day } }));
  });
  return html`<${Dialog} title=${t("apps.changeTitle", { title: app.title })} onClose=${onClose}>
    <${Field} label=${t("share.appTitle")}>${(attributes) => html`<${TextInput} ...${attributes} maxlength="200" value=${title} onInput=${setTitle} onSubmit=${change} />`}</${Field}>
    ${!loaded.value ? html`<${Pending} loaded=${loaded} />` : html`<${Field} label=${t("apps.version")} help=${t("apps.versionHelp")}>${(attributes) => html`<select ...${attributes}
      onChange=${(event) => setNumber(Number(event.currentTarget.value))}>${loaded.value.map((head) => html`<option key=${head.number} value=${head.number} selected=${head.number === number}>
        ${t("versions.number", { number: formatted(head.number) })}${head.note ? ` · ${head.note}` : ""}</option>`)}</select>`}</${Field}>`}
    <${QuotaField} value=${quota} onInput=${setQuota} />
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      <button type="button" class="primary" disabled=${isBusy} onClick=${change}>${t("common.save")}</button></div>
  </${Dialog}>`;
}
