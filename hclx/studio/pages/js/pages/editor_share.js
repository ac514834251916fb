// Giving a prompt to others: by a link, as an app with a page of its own, or as code.
import { html, useState } from "../html.js";
import { addressOf, api, whenBack } from "../api.js";
import { date, t } from "../words.js";
import { quotaOf } from "../apps.js";
import { DRAFT, loadVersion, saveVersion, useKept, useVersions } from "../versions.js";
import { mayAs, useSession } from "../session.js";
import { QuotaField, SecretDialog } from "../parts/app_dialogs.js";
import { CodeView } from "../parts/code_view.js";
import { confirmed } from "../parts/dialog.js";
import { Choice, Field } from "../parts/field.js";
import { Icon } from "../parts/icons.js";
import { notify } from "../parts/notices.js";
import { Pending, copyText, useAction, useLoaded } from "../parts/page.js";
import { TextInput } from "../parts/text_input.js";

const QUOTA = "1000"; // requests a day that are offered for a new app
const sharedAddress = (token) => addressOf(`#/shared/${token}`);

function VersionField({ versions, isKept, value, onChange }) {
  return html`<${Field} label=${t("share.version")} help=${t("share.versionHelp")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(Number(event.currentTarget.value))}>
    ${!isKept && html`<option key=${DRAFT} value=${DRAFT} selected=${value === DRAFT}>${t("share.draft")}</option>`}
    ${versions.map(({ number, note, created }) => html`<option key=${number} value=${number} selected=${number === value}>
      ${[t("versions.number", { number }), note, date(created)].filter(Boolean).join(" · ")}</option>`)}</select>`}</${Field}>`;
}

function Link({ share, onRevoked }) {
  const { id, token, number, mode, created } = share, address = sharedAddress(token), name = t("share.linkName", { number, mode: t(`share.mode_${mode}`) });
  const [isBusy, revoke] = useAction(async () => {
    if (!(await confirmed(t("share.revokeAsk"), { action: t("share.revoke"), isDanger: true }))) return;
    await api.delete(`api/shares/${id}`);
    notify(t("share.revoked"));
    onRevoked(id);
  });
  return html`<li><div class="grow"><strong>${name}</strong><p class="help">${date(created)}</p><p class="mono">${address}</p></div>
    <div class="row"><button type="button" aria-label=${`${name}: ${t("share.copyLink")}`} onClick=${() => copyText(address)}><${Icon} name="copy" />${t("share.copyLink")}</button>
      <a class="button plain" href=${address} target="_blank" rel="noopener" aria-label=${`${name}: ${t("common.open")}`}>${t("common.open")}</a>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${`${name}: ${t("share.revoke")}`} onClick=${revoke}><${Icon} name="trash" />${t("share.revoke")}</button></div></li>`;
}

const IS_ONLY_HERE = /^(localhost|127\.|\[::1\])/.test(location.hostname);

// A new link is copied at once, where the browser lets the page do that.
function Links({ id, numberOf }) {
  const [mode, setMode] = useState("read"), loaded = useLoaded(() => whenBack(() => api.get(`api/prompts/${id}/shares`)), [id]);
  const shares = loaded.value?.data;
  const [isBusy, make] = useAction(async () => {
    const number = await numberOf();
    const share = await api.post(`api/prompts/${id}/shares`, { number, mode });
    loaded.set({ data: [...(shares ?? []), { created: Date.now() / 1000, number, mode, ...share }] });
    await copyText(sharedAddress(share.token));
  });
  return html`<section class="card" aria-labelledby="share-links"><h2 id="share-links">${t("share.links")}</h2>
    <p class="help">${t("share.linksHelp")}</p>
    ${IS_ONLY_HERE && html`<p class="help">${t("share.onlyHere")}</p>`}
    <div class="row"><${Choice} label=${t("share.mode")} value=${mode} options=${["read", "copy"].map((name) => [name, t(`share.mode_${name}`)])} onChange=${setMode} /></div>
    <button type="button" class="primary" disabled=${isBusy} onClick=${make}><${Icon} name="share" />${t("share.makeLink")}</button>
    ${!shares ? html`<${Pending} loaded=${loaded} />` : shares.length > 0 && html`<ul class="plain-list" aria-label=${t("share.links")}>${[...shares].reverse().map((share) => html`<${Link} key=${share.id}
      share=${share} onRevoked=${(gone) => loaded.set({ data: shares.filter((other) => other.id !== gone) })} />`)}</ul>`}
  </section>`;
}

function NewApp({ draft, numberOf, onMade }) {
  const [title, setTitle] = useState(draft.title), [slug, setSlug] = useState(""), [quota, setQuota] = useState(QUOTA), [error, setError] = useState({});
  const [isBusy, make] = useAction(async () => {
    const requests_per_day = quotaOf(quota);
    if (requests_per_day === null || !title.trim()) return;
    setError({});
    try {
      const number = await numberOf();
      onMade(await api.post("api/apps", { prompt: draft.id, number, title: title.trim(), ...(slug.trim() ? { slug: slug.trim() } : {}), limits: { requests_per_day } }));
      setSlug("");
    } catch (failure) {
      if (failure.param === "slug" || /^slug=/.test(failure.message)) setError({ slug: failure.status === 409 ? t("share.slugTaken") : t("share.slugWrong") });
      else if (failure.param?.startsWith("limits.")) setError({ quota: t("share.quotaTooHigh") });
      else throw failure;
    }
  });
  return html`<div class="columns">
      <${Field} label=${t("share.appTitle")} error=${title.trim() ? null : t("share.noTitle")}>${(attributes) => html`<${TextInput} ...${attributes} maxlength="200" value=${title} onInput=${setTitle} onSubmit=${make} />`}</${Field}>
      <${Field} label=${t("share.slug")} help=${t("share.slugHelp")} error=${error.slug}>${(attributes) => html`<${TextInput} ...${attributes} class="mono" maxlength="40" value=${slug} onInput=${setSlug} onSubmit=${make} />`}</${Field}>
      <${QuotaField} value=${quota} onInput=${setQuota} error=${error.quota} /></div>
    <button type="button" class="primary" disabled=${isBusy} onClick=${make}><${Icon} name="apps" />${t("share.makeApp")}</button>`;
}

function Apps({ draft, apps, numberOf, onMade }) {
  const mayMake = mayAs(useSession(), "maker"), [isOpen, setOpen] = useState(false), own = apps.value?.data.filter((app) => app.prompt === draft.id) ?? [];
  return html`<section class="card" aria-labelledby="share-app"><h2 id="share-app">${t("share.app")}</h2>
    <p class="help">${t("share.appHelp")}</p>
    ${own.length > 0 && html`<ul class="plain-list" aria-label=${t("shell.apps")}>${own.map((app) => html`<li key=${app.slug}><div class="grow"><strong>${app.title}</strong>
      <p class="help">/apps/${app.slug} · ${t("versions.number", { number: app.number })}</p></div><a class="button plain" href="#/apps" aria-label=${`${app.title}: ${t("share.manage")}`}>${t("share.manage")}</a></li>`)}</ul>`}
    ${!mayMake ? html`<p class="help">${t("share.notMaker")}</p>`
      : own.length > 0 && !isOpen ? html`<button type="button" onClick=${() => setOpen(true)}><${Icon} name="plus" />${t("share.another")}</button>`
      : html`<${NewApp} draft=${draft} numberOf=${numberOf} onMade=${(made) => { setOpen(false); onMade(made); }} />`}
  </section>`;
}

// Which version is given away: that which was chosen, or the draft, which is saved as one first.
function useChosen(draft, versions, reload) {
  const kept = useKept(draft, versions), [asked, choose] = useState(null);
  const chosen = versions?.some(({ number }) => number === asked) ? asked : kept ?? DRAFT;
  const numberOf = async () => {
    if (chosen !== DRAFT) return chosen;
    const number = await saveVersion(draft, t("share.note"));
    notify(t("editor.versionSaved", { number }));
    reload();
    return number;
  };
  return { isKept: kept !== null, chosen, choose, numberOf };
}

export default function EditorShare({ draft, nSaved }) {
  const [n, setN] = useState(0), loaded = useVersions(draft.id, `${nSaved} ${n}`), versions = loaded.value;
  const apps = useLoaded(() => whenBack(() => api.get("api/apps"))), [made, setMade] = useState(null), [isSecretOpen, setSecretOpen] = useState(false);
  const { isKept, chosen, choose, numberOf } = useChosen(draft, versions, () => setN((before) => before + 1));
  const own = made?.app ?? apps.value?.data.find((app) => app.prompt === draft.id) ?? null;
  const version = useLoaded(() => (own ? loadVersion(draft.id, own.number) : Promise.resolve(null)), [own?.slug, own?.number]);
  if (!versions) return html`<${Pending} loaded=${loaded} />`;
  const onMade = (created) => {
    setMade(created);
    setSecretOpen(true);
    apps.reload();
  };
  return html`
    <section class="card"><${VersionField} versions=${versions} isKept=${isKept} value=${chosen} onChange=${choose} /></section>
    <${Links} id=${draft.id} numberOf=${numberOf} />
    <${Apps} draft=${draft} apps=${apps} numberOf=${numberOf} onMade=${onMade} />
    <section class="card" aria-labelledby="share-code"><h2 id="share-code">${t("share.code")}</h2><${CodeView} content=${draft.content} app=${own && version.value ? { ...own, content: version.value.content } : null} secret=${made?.secret ?? null} /></section>
    ${isSecretOpen && html`<${SecretDialog} app=${made.app} secret=${made.secret} onClose=${() => setSecretOpen(false)} />`}`;
}
