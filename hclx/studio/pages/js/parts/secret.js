// A secret that is shown once: a link or a key, to be copied.
import { html, useEffect, useRef } from "../html.js";
import { t } from "../words.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { copyText } from "./page.js";
import { TextInput } from "./text_input.js";

export function SecretDialog({ title, help, label, secret, note, onClose }) {
  const input = useRef(null);
  useEffect(() => { input.current.select(); }, []);
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${help}</p>
    <div class="row secret"><div class="grow"><${TextInput} inputRef=${input} class="mono" readonly aria-label=${label} value=${secret} onFocus=${(event) => event.currentTarget.select()} /></div>
      <button type="button" class="primary" onClick=${() => copyText(secret)}><${Icon} name="copy" />${t("common.copy")}</button></div>
    ${note && html`<p class="help">${note}</p>`}
    <div class="row end"><button type="button" onClick=${onClose}>${t("people.kept")}</button></div>
  </${Dialog}>`;
}
