// An address or a key in a field of its own, with a button that copies it.
import { html } from "../html.js";
import { t } from "../words.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { copyText } from "./page.js";

export function CopyLine({ label, help, text }) {
  return html`<${Field} label=${label} help=${help}>${(attributes) => html`<div class="copy-line">
    <input ...${attributes} class="mono" readonly value=${text} onFocus=${(event) => event.currentTarget.select()} />
    <button type="button" aria-label=${`${t("common.copy")}: ${label}`} onClick=${() => copyText(text)}><${Icon} name="copy" />${t("common.copy")}</button></div>`}</${Field}>`;
}
