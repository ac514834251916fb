// Keys of programs that call the server: made with what they may do, limited, and revoked.
import { html, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { date, t } from "../words.js";
import { Dialog, confirmed } from "./dialog.js";
import { Choice, Field, Switch } from "./field.js";
import { Icon } from "./icons.js";
import { LimitFields, LimitsDialog, limitsText, useLimits } from "./limits.js";
import { notifyError } from "./notices.js";
import { Pending, useAction, useLoaded } from "./page.js";
import { SecretDialog } from "./secret.js";
import { TextInput } from "./text_input.js";

const KEYS = "../hclx/v1/admin/keys";
const SCOPES = ["inference", "tuning", "admin"];
const EXPIRIES = [30, 90, 365, 0]; // days; 0: never

function MakeDialog({ onMade, onClose }) {
  const [name, setName] = useState(""), [kind, setKind] = useState("service"), [scopes, setScopes] = useState(["inference"]), [days, setDays] = useState(90);
  const limits = useLimits(null);
  const [isBusy, make] = useAction(async () => {
    onMade(await api.post(KEYS, { name: name.trim(), kind, scopes, expires_days: days, limits: limits.limits }));
  });
  const isReady = name.trim() && scopes.length && limits.isValid;
  const toggle = (scope, isOn) => setScopes(isOn ? [...scopes, scope] : scopes.filter((other) => other !== scope));
  return html`<${Dialog} title=${t("people.makeKey")} onClose=${onClose}>
    <${Field} label=${t("people.keyName")} help=${t("people.keyNameHelp")}>${(attributes) => html`<${TextInput} ...${attributes} autofocus value=${name} onInput=${setName}
      onSubmit=${() => isReady && make()} maxlength="100" />`}</${Field}>
    <fieldset class="big-choice"><legend>${t("people.scopes")}</legend>
      ${SCOPES.map((scope) => html`<label key=${scope}><input type="checkbox" checked=${scopes.includes(scope)} onChange=${(event) => toggle(scope, event.currentTarget.checked)} />
        <span><strong>${t(`people.scope_${scope}`)}</strong><span class="help">${t(`people.scope_${scope}Help`)}</span></span></label>`)}
    </fieldset>
    <${Choice} label=${t("people.kind")} value=${kind} options=${["service", "test"].map((option) => [option, t(`people.kind_${option}`)])} onChange=${setKind} />
    <${Choice} label=${t("people.expires")} value=${days} options=${EXPIRIES.map((count) => [count, count ? t("people.daysLong", { n: count }) : t("people.forever")])} onChange=${setDays} />
    <details><summary>${t("people.limits")}</summary><p class="help">${t("people.limitsHelp")}</p><${LimitFields} state=${limits} /></details>
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      <button type="button" class="primary" disabled=${!isReady || isBusy} onClick=${make}>${t("people.makeKey")}</button></div>
  </${Dialog}>`;
}

function KeyRow({ record, onLimits, onRevoke }) {
  const isActive = record.state === "active";
  const expiry = record.expires ? t("people.until", { time: date(record.expires) }) : t("people.forever");
  return html`<tr class=${isActive ? "" : "ended"}>
    <th scope="row">${record.name}<br /><span class="help mono">…${record.ending}</span></th>
    <td data-label=${t("people.scopes")}><div><span class=${`tag ${isActive ? "good" : "bad"}`}>${t(`people.state_${record.state}`)}</span> <span class="tag">${t(`people.kind_${record.kind}`)}</span><br />
      <span class="help">${record.scopes.map((scope) => t(`people.scope_${scope}`)).join(", ")}</span></div></td>
    <td data-label=${t("people.lastUsed")}><div>${record.last_used ? date(record.last_used) : t("people.never")}<br /><span class="help">${isActive ? expiry : ""}</span></div></td>
    <td data-label=${t("people.limits")}>${onLimits && isActive ? html`<button type="button" class="plain linkish" aria-label=${`${t("people.limitsOf", { name: record.name })}: ${limitsText(record.limits)}`} onClick=${onLimits}>${limitsText(record.limits)}</button>` : limitsText(record.limits)}</td>
    ${onRevoke && html`<td>${isActive && html`<button type="button" class="plain" aria-label=${t("people.revokeOne", { name: record.name })} onClick=${onRevoke}>${t("people.revoke")}</button>`}</td>`}
  </tr>`;
}

function Rows({ label, records, onLimits, onRevoke }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table class="stacking"><caption class="hidden">${label}</caption>
    <thead><tr>${["keyName", "scopes", "lastUsed", "limits"].map((name) => html`<th key=${name} scope="col">${t(`people.${name}`)}</th>`)}
      ${onRevoke && html`<th scope="col"><span class="hidden">${t("people.actions")}</span></th>`}</tr></thead>
    <tbody>${records.map((record) => html`<${KeyRow} key=${record.id} record=${record} onLimits=${onLimits && (() => onLimits(record))} onRevoke=${onRevoke && (() => onRevoke(record))} />`)}</tbody>
  </table></div>`;
}

export function KeyList() {
  const loaded = useLoaded(() => whenBack(() => Promise.all([api.get(KEYS), api.get("api/people")])));
  const [open, setOpen] = useState(null), [showsEnded, setShowsEnded] = useState(false), close = () => setOpen(null);
  if (!loaded.value) return html`<${Pending} loaded=${loaded} />`;
  const [{ data }, people] = loaded.value, ofPeople = new Set(people.data.map((person) => person.key_id));
  const isOwn = (record) => !ofPeople.has(record.id) && !record.scopes.includes("app");
  const own = data.filter(isOwn), others = data.filter((record) => !isOwn(record) && record.state === "active");
  const shown = own.filter((record) => showsEnded || record.state === "active").reverse();
  const attempt = async (action) => {
    try {
      await action();
      close();
    } catch (error) {
      notifyError(error);
    }
    loaded.reload();
  };
  const revoke = async (record) => {
    if (await confirmed(t("people.revokeAsk", { name: record.name }), { action: t("people.revoke"), isDanger: true })) attempt(() => api.post(`${KEYS}/${record.id}/revoke`));
  };
  const made = ({ name, secret }) => {
    setOpen({ kind: "secret", name, secret });
    loaded.reload();
  };
  return html`
    <div class="row section-head"><p class="help grow">${t("people.keysHelp")}</p>
      <button type="button" class="primary" onClick=${() => setOpen({ kind: "make" })}><${Icon} name="plus" />${t("people.makeKey")}</button></div>
    ${shown.length ? html`<${Rows} label=${t("people.keys")} records=${shown} onLimits=${(record) => setOpen({ kind: "limits", record })} onRevoke=${revoke} />`
      : html`<p class="empty">${t("people.noKeys")}</p>`}
    ${own.some((record) => record.state !== "active") && html`<${Switch} label=${t("people.showEnded")} checked=${showsEnded} onChange=${setShowsEnded} />`}
    <dl class="explained">${SCOPES.map((scope) => html`<div key=${scope}><dt>${t(`people.scope_${scope}`)}</dt><dd>${t(`people.scope_${scope}Help`)}</dd></div>`)}</dl>
    ${others.length > 0 && html`<details><summary>${t("people.otherKeys", { n: others.length })}</summary><p class="help">${t("people.otherKeysHelp")}</p>
      <${Rows} label=${t("people.otherKeys", { n: others.length })} records=${others} /></details>`}
    ${open?.kind === "make" && html`<${MakeDialog} onMade=${made} onClose=${close} />`}
    ${open?.kind === "secret" && html`<${SecretDialog} title=${t("people.secretOf", { name: open.name })} help=${t("people.secretHelp")} label=${t("people.secret")}
      secret=${open.secret} note=${t("people.secretUse")} onClose=${close} />`}
    ${open?.kind === "limits" && html`<${LimitsDialog} name=${open.record.name} limits=${open.record.limits}
      onSave=${(limits) => attempt(() => api.patch(`${KEYS}/${open.record.id}`, { limits }))} onClose=${close} />`}`;
}
