// Dialogs, and questions before something cannot be undone.
import { html, render, useEffect, useRef } from "../html.js";
import { t } from "../words.js";
import { useId } from "./field.js";
import { Notices } from "./notices.js";

// A dialog that is open as long as it is drawn; Escape and its cross call onClose.
export function Dialog({ title, onClose, children, isWide }) {
  const element = useRef(null), id = useId("d");
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${element} class=${isWide ? "wide" : ""} aria-labelledby=${id}
    onCancel=${(event) => { event.preventDefault(); onClose(); }}>
    <header>
      <h2 id=${id}>${title}</h2>
      <button type="button" class="plain" aria-label=${t("common.close")} onClick=${onClose}>✕</button>
    </header>
    ${children}
    <${Notices} />
  </dialog>`;
}

// Asks a question; resolves to whether it was confirmed.
export function confirmed(question, { action = t("common.ok"), isDanger = false } = {}) {
  return new Promise((resolve) => {
    const place = document.body.appendChild(document.createElement("div"));
    const end = (answer) => {
      render(null, place);
      place.remove();
      resolve(answer);
    };
    render(html`<${Dialog} title=${question} onClose=${() => end(false)}>
      <div class="row end">
        <button type="button" onClick=${() => end(false)}>${t("common.cancel")}</button>
        <button type="button" class=${isDanger ? "danger" : "primary"} onClick=${() => end(true)}>${action}</button>
      </div>
    </${Dialog}>`, place);
  });
}
