// Limits of a person or a key: how many requests and tokens a minute and a day. Nothing written: no limit.
import { html, useState } from "../html.js";
import { number, t } from "../words.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { TextInput } from "./text_input.js";

export const LIMITS = ["requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day"];
const MOST = 1e15;

const typedOf = (limits) => Object.fromEntries(LIMITS.map((name) => [name, limits?.[name] ? String(limits[name]) : ""]));
const read = (text) => Number(text.replace(/[,\s]/g, "") || "0");
const isLimit = (text) => Number.isInteger(read(text)) && read(text) >= 0 && read(text) <= MOST;

// Returns {typed, setTyped, isValid, limits}, the state of `LimitFields`.
export function useLimits(limits) {
  const [typed, setTyped] = useState(typedOf(limits));
  const isValid = LIMITS.every((name) => isLimit(typed[name]));
  return { typed, setTyped, isValid, limits: isValid ? Object.fromEntries(LIMITS.map((name) => [name, read(typed[name])])) : null };
}

export function LimitFields({ state, hasFocus }) {
  const { typed, setTyped } = state;
  return html`<div class="limit-fields">${LIMITS.map((name, index) => html`<${Field} key=${name} label=${t(`people.${name}`)}
    error=${isLimit(typed[name]) ? null : t("people.notNumber")}>${(attributes) => html`<${TextInput} ...${attributes} inputmode="numeric" autofocus=${hasFocus && index === 0}
      placeholder=${t("people.noLimit")} value=${typed[name]} onInput=${(text) => setTyped({ ...typed, [name]: text })} />`}</${Field}>`)}</div>`;
}

// A dialog for the limits of `name`. onSave(limits) is awaited.
export function LimitsDialog({ name, limits, onSave, onClose }) {
  const state = useLimits(limits), [isBusy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    await onSave(state.limits);
    setBusy(false);
  };
  return html`<${Dialog} title=${t("people.limitsOf", { name })} onClose=${onClose}>
    <p class="help">${t("people.limitsHelp")}</p>
    <${LimitFields} state=${state} hasFocus />
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      <button type="button" class="primary" disabled=${!state.isValid || isBusy} onClick=${save}>${t("common.save")}</button></div>
  </${Dialog}>`;
}

// The limits that there are, in a line.
export function limitsText(limits) {
  const set = LIMITS.filter((name) => limits[name] > 0);
  return set.length ? set.map((name) => t(`people.short_${name}`, { n: number(limits[name]) })).join(", ") : t("people.noLimit");
}
