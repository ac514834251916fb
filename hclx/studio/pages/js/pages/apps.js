// The apps of a person: where they are, what they answer with, how much they are used, and their keys.
import { html, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { number, t } from "../words.js";
import { appAddress } from "../apps.js";
import { ChangeDialog, SecretDialog } from "../parts/app_dialogs.js";
import { CopyLine } from "../parts/copy_line.js";
import { confirmed } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { notify } from "../parts/notices.js";
import { PageHead, Pending, useAction, useLoaded } from "../parts/page.js";

function Usage({ app }) {
  const used = app.today?.requests ?? 0, quota = app.limits.requests_per_day;
  return html`<div class="usage"><span>${quota ? t("apps.usedOf", { used: number(used), quota: number(quota) }) : t("apps.used", { used: number(used) })}</span>
    ${quota > 0 && html`<meter min="0" max=${quota} value=${Math.min(used, quota)} aria-hidden="true"></meter>`}</div>`;
}

function App({ app, onChange, onRemoved, onSecret }) {
  const { slug, title } = app;
  const [isBusy, act] = useAction((action) => action());
  const newKey = async () => {
    if (!(await confirmed(t("apps.newKeyAsk", { title }), { action: t("apps.newKey"), isDanger: true }))) return;
    const { secret } = await api.post(`api/apps/${slug}/key`);
    onSecret({ app, secret });
  };
  const remove = async () => {
    if (!(await confirmed(t("apps.removeAsk", { title }), { action: t("common.remove"), isDanger: true }))) return;
    await api.delete(`api/apps/${slug}`);
    notify(t("apps.removed", { title }));
    onRemoved(slug);
  };
  return html`<li class="card app"><h2>${title}</h2>
    <p><a href=${`#/prompts/${app.prompt}`} aria-label=${`${title}: ${t("apps.prompt")}`}>${t("apps.prompt")}</a> · ${t("versions.number", { number: number(app.number) })}</p>
    <${Usage} app=${app} />
    <${CopyLine} label=${t("apps.address")} text=${appAddress(slug)} />
    <div class="row"><a class="button" href=${appAddress(slug)} target="_blank" rel="noopener" aria-label=${`${title}: ${t("common.open")}`}>${t("common.open")}</a>
      <button type="button" disabled=${isBusy} aria-label=${`${title}: ${t("apps.change")}`} onClick=${onChange}>${t("apps.change")}</button>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${`${title}: ${t("apps.newKey")}`} onClick=${() => act(newKey)}>${t("apps.newKey")}</button>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${`${title}: ${t("common.remove")}`} onClick=${() => act(remove)}><${Icon} name="trash" />${t("common.remove")}</button></div>
  </li>`;
}

export default function Apps() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/apps"))), [changed, setChanged] = useState(null), [made, setMade] = useState(null);
  const apps = loaded.value?.data;
  const saved = () => {
    notify(t("apps.saved"));
    setChanged(null);
    loaded.reload();
  };
  return html`<${PageHead} title=${t("shell.apps")} note=${t("apps.note")} />
    ${!apps ? html`<${Pending} loaded=${loaded} />` : apps.length === 0 ? html`<div class="empty"><p>${t("apps.none")}</p><a class="button primary" href="#/prompts">${t("shell.prompts")}</a></div>`
      : html`<ul class="cards wide">${apps.map((app) => html`<${App} key=${app.slug} app=${app} onSecret=${setMade} onChange=${() => setChanged(app)}
          onRemoved=${(slug) => loaded.set({ data: apps.filter((other) => other.slug !== slug) })} />`)}</ul>`}
    ${changed && html`<${ChangeDialog} app=${changed} onChanged=${saved} onClose=${() => setChanged(null)} />`}
    ${made && html`<${SecretDialog} app=${made.app} secret=${made.secret} onClose=${() => setMade(null)} />`}`;
}
