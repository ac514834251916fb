// What pages share: their head, what they show while they load or have failed, and menus.
import { html, useCallback, useEffect, useState } from "../html.js";
import { t } from "../words.js";
import { notify, notifyError } from "./notices.js";

export function useTitle(title) {
  useEffect(() => { document.title = `${title} · hclx Studio`; }, [title]);
}

// A page that has nothing to show but why.
export function EmptyPage({ title, children, role }) {
  useTitle(title);
  return html`<section class="empty" role=${role}><h1>${title}</h1>${children}</section>`;
}

// The title of a page, which is the document's too, and buttons beside it.
export function PageHead({ title, children, note }) {
  useTitle(title);
  return html`<header class="page-head">
    <div><h1 tabindex="-1">${title}</h1>${note && html`<p class="help">${note}</p>`}</div>
    <div class="row">${children}</div>
  </header>`;
}

// Loads something for a page: returns {value, error, reload, set}.
export function useLoaded(load, inputs = []) {
  const [state, setState] = useState({ value: null, error: null });
  const reload = useCallback(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setState({ value, error: null }),
      (error) => isCurrent && setState((before) => ({ ...before, error })),
    );
    return () => { isCurrent = false; };
  }, inputs);
  useEffect(reload, [reload]);
  return { ...state, reload, set: (value) => setState({ value, error: null }) };
}

// What is shown as long as `useLoaded` has nothing.
export function Pending({ loaded }) {
  if (loaded.error) {
    return html`<div class="empty" role="alert">
      <p>${loaded.error.message}</p>
      <button type="button" onClick=${loaded.reload}>${t("common.again")}</button>
    </div>`;
  }
  return html`<p class="empty" role="status">${t("common.loading")}</p>`;
}

// Calls an asynchronous function from a button; tells what has failed. Returns [isBusy, run].
export function useAction(action) {
  const [isBusy, setBusy] = useState(false);
  const run = async (...values) => {
    setBusy(true);
    try {
      return await action(...values);
    } catch (error) {
      notifyError(error);
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return [isBusy, run];
}

export const go = (path) => { location.hash = `#/${path}`; };

// Saves a text as a file of the reader.
export function download(name, text, type = "application/json") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// Copies a text; says so, or that it has to be done by hand, as on pages without TLS.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    notify(t("common.copied"));
  } catch {
    notify(t("common.copyByHand"), "error");
  }
}
