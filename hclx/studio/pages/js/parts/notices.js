// Short messages at the edge of the page, which are read aloud too.
import { html, useEffect, useState } from "../html.js";
import { t } from "../words.js";

const SECONDS = 6;
const shown = new Set(); // functions that draw the notices again: those of the page, and of dialogs above it
let notices = [], n_notices = 0;
const changed = () => shown.forEach((draw) => draw());

function remove(id) {
  notices = notices.filter((notice) => notice.id !== id);
  changed();
}

// Shows a message: kind "info" or "error"; `action` is {label, run}. Errors stay until they are closed.
export function notify(text, kind = "info", action = null) {
  const id = n_notices++;
  notices = [...notices.filter((notice) => notice.text !== text), { id, text, kind, action }].slice(-3);
  changed();
  if (kind !== "error") setTimeout(() => remove(id), SECONDS * 1000);
}

// Shows why something has failed; what the reader has stopped himself is no failure.
export function notifyError(error) {
  if (error.name === "AbortError") return;
  if (!error.code) console.error(error);
  notify(error.message, "error");
}

export function Notices() {
  const [, draw] = useState(0);
  useEffect(() => {
    const again = () => draw((n) => n + 1);
    shown.add(again);
    return () => shown.delete(again);
  }, []);
  return html`<div class="notices" role="status" aria-live="polite">
    ${notices.map(({ id, text, kind, action }) => html`<div key=${id} class=${`notice ${kind}`}>
      <span>${text}</span>
      ${action && html`<button type="button" class="plain" onClick=${() => { remove(id); action.run(); }}>${action.label}</button>`}
      <button type="button" class="plain" aria-label=${t("common.close")} onClick=${() => remove(id)}>✕</button>
    </div>`)}
  </div>`;
}
