// Who may log in: people are added by a link, have a role and limits, and are removed.
import { html, useState } from "../html.js";
import { addressOf, api, whenBack } from "../api.js";
import { date, t } from "../words.js";
import { useSession } from "../session.js";
import { Dialog, confirmed } from "./dialog.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { LimitsDialog, limitsText } from "./limits.js";
import { notify, notifyError } from "./notices.js";
import { Pending, useAction, useLoaded } from "./page.js";
import { SecretDialog } from "./secret.js";
import { TextInput } from "./text_input.js";

const ROLES = ["user", "maker", "admin"];

export function RoleChoice({ value, onChange }) {
  return html`<fieldset class="big-choice"><legend>${t("people.role")}</legend>
    ${ROLES.map((role) => html`<label key=${role}><input type="radio" name="role" checked=${role === value} onChange=${() => onChange(role)} />
      <span><strong>${t(`people.role_${role}`)}</strong><span class="help">${t(`people.role_${role}Help`)}</span></span></label>`)}
  </fieldset>`;
}

function AddDialog({ onAdd, onClose }) {
  const [name, setName] = useState(""), [role, setRole] = useState("user");
  const [isBusy, add] = useAction(async (typed) => onAdd(await api.post("api/people", { name: typed.trim(), role })));
  const submit = (typed) => typed.trim() && add(typed);
  return html`<${Dialog} title=${t("people.add")} onClose=${onClose}>
    <${Field} label=${t("people.personName")}>${(attributes) => html`<${TextInput} ...${attributes} autofocus value=${name} onInput=${setName} onSubmit=${submit} maxlength="100" />`}</${Field}>
    <${RoleChoice} value=${role} onChange=${setRole} />
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      <button type="button" class="primary" disabled=${isBusy || !name.trim()} onClick=${() => submit(name)}>${t("people.makeLink")}</button></div>
  </${Dialog}>`;
}

function LinkDialog({ name, token, expires, onClose }) {
  return html`<${SecretDialog} title=${t("people.linkOf", { name })} help=${t("people.linkHelp", { name })} label=${t("people.link")}
    secret=${addressOf(`#/login/${token}`)} note=${expires ? t("people.linkUntil", { time: date(expires) }) : null} onClose=${onClose} />`;
}

// The server refuses what would leave no administrator.
const explained = (error) => (error.status === 409 ? Object.assign(new Error(t("people.lastAdmin")), { code: error.code }) : error);

function RoleDialog({ person, isMe, onChanged, onClose }) {
  const [role, setRole] = useState(person.role), [isBusy, setBusy] = useState(false);
  const save = async () => {
    if (role === person.role) return onClose();
    if (isMe && !(await confirmed(t("people.demoteSelf"), { action: t("people.change"), isDanger: true }))) return undefined;
    setBusy(true);
    try {
      await api.patch(`api/people/${person.id}`, { role });
      notify(t("people.roleSet", { name: person.name, role: t(`people.role_${role}`) }));
      onChanged();
    } catch (error) {
      notifyError(explained(error));
    }
    return setBusy(false);
  };
  return html`<${Dialog} title=${t("people.roleOf", { name: person.name })} onClose=${onClose}>
    <${RoleChoice} value=${role} onChange=${setRole} />
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      <button type="button" class="primary" disabled=${isBusy} onClick=${save}>${t("common.save")}</button></div>
  </${Dialog}>`;
}

function PersonRow({ person, isMe, onChange, onOpen }) {
  const attempt = async (action) => {
    try {
      await action();
    } catch (error) {
      notifyError(explained(error));
    }
    onChange();
  };
  const renew = () => attempt(async () => {
    const { link_token, expires } = await api.post(`api/people/${person.id}/link`);
    onOpen({ kind: "link", name: person.name, token: link_token, expires });
  });
  const remove = async () => {
    if (!(await confirmed(t("people.removeAsk", { name: person.name }), { action: t("common.remove"), isDanger: true }))) return;
    attempt(() => api.delete(`api/people/${person.id}`));
  };
  return html`<tr>
    <th scope="row">${person.name}${isMe && html` <span class="tag good">${t("people.me")}</span>`}</th>
    <td data-label=${t("people.role")}><button type="button" class="plain linkish" aria-label=${`${t("people.roleOf", { name: person.name })}: ${t(`people.role_${person.role}`)}`}
      onClick=${() => onOpen({ kind: "role", person })}>${t(`people.role_${person.role}`)}</button></td>
    <td data-label=${t("people.seen")}>${person.seen ? date(person.seen) : t("people.never")}</td>
    <td data-label=${t("people.limits")}><button type="button" class="plain linkish" aria-label=${`${t("people.limitsOf", { name: person.name })}: ${limitsText(person.limits)}`}
      onClick=${() => onOpen({ kind: "limits", person })}>${limitsText(person.limits)}</button></td>
    <td><div class="row tight"><button type="button" class="plain" aria-label=${t("people.newLinkOf", { name: person.name })} onClick=${renew}>${t("people.newLink")}</button>
      <button type="button" class="plain" aria-label=${t("people.removeOne", { name: person.name })} onClick=${remove}><${Icon} name="trash" /></button></div></td>
  </tr>`;
}

export function PersonList() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/people"))), [open, setOpen] = useState(null);
  const session = useSession(), isMe = (person) => person.id === session.person.id, close = () => setOpen(null);
  const added = ({ person, link_token, expires }) => {
    setOpen({ kind: "link", name: person.name, token: link_token, expires });
    loaded.reload();
  };
  const saveLimits = async (limits) => {
    try {
      await api.patch(`api/people/${open.person.id}`, { limits });
      close();
      loaded.reload();
    } catch (error) {
      notifyError(error);
    }
  };
  if (!loaded.value) return html`<${Pending} loaded=${loaded} />`;
  return html`
    <div class="row section-head"><p class="help grow">${t("people.peopleHelp")}</p>
      <button type="button" class="primary" onClick=${() => setOpen({ kind: "add" })}><${Icon} name="plus" />${t("people.add")}</button></div>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("people.people")}><table class="stacking"><caption class="hidden">${t("people.people")}</caption>
      <thead><tr>${["personName", "role", "seen", "limits"].map((name) => html`<th key=${name} scope="col">${t(`people.${name}`)}</th>`)}<th scope="col"><span class="hidden">${t("people.actions")}</span></th></tr></thead>
      <tbody>${loaded.value.data.map((person) => html`<${PersonRow} key=${person.id} person=${person} isMe=${isMe(person)} onChange=${loaded.reload} onOpen=${setOpen} />`)}</tbody>
    </table></div>
    <dl class="explained">${ROLES.map((role) => html`<div key=${role}><dt>${t(`people.role_${role}`)}</dt><dd>${t(`people.role_${role}Help`)}</dd></div>`)}</dl>
    ${open?.kind === "add" && html`<${AddDialog} onAdd=${added} onClose=${close} />`}
    ${open?.kind === "link" && html`<${LinkDialog} ...${open} onClose=${close} />`}
    ${open?.kind === "role" && html`<${RoleDialog} person=${open.person} isMe=${isMe(open.person)} onClose=${close}
      onChanged=${() => { close(); if (isMe(open.person)) location.reload(); else loaded.reload(); }} />`}
    ${open?.kind === "limits" && html`<${LimitsDialog} name=${open.person.name} limits=${open.person.limits} onSave=${saveLimits} onClose=${close} />`}`;
}
