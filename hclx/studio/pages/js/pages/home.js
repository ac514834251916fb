// The start: a prompt from a sentence, from the gallery, from a file or from nothing, and the last ones.
import { html, useEffect, useRef, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { date, language, t } from "../words.js";
import { newContent } from "../content.js";
import { ContentView } from "../parts/content_view.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { ImportPrompts } from "../parts/import_prompts.js";
import { PageHead, Pending, go, useAction, useLoaded } from "../parts/page.js";
import { TextArea } from "../parts/text_input.js";

const LAST = 6; // prompts that are shown
const LONGEST_TITLE = 60;
const SENTENCE = "hclx-sentence";
const FIRST = ["sentiment-choices", "review-summary", "shop-reply", "event-titles", "product-copy", "article-summary"]; // of the gallery
const LAST_OF_ALL = "describe"; // what the box above does

const inLanguage = (entry, name) => (language === "ko" ? entry[name] : entry[`${name}_en`] || entry[name]);
const make = async (title, content) => go(`prompts/${(await api.post("api/prompts", { title, content })).id}`);

// A sentence that is kept over a reload.
function useSentence() {
  const [text, setText] = useState(() => {
    try {
      return sessionStorage.getItem(SENTENCE) ?? "";
    } catch {
      return "";
    }
  });
  const put = (next) => {
    setText(next);
    try {
      sessionStorage.setItem(SENTENCE, next);
    } catch { /* it then is gone with the page */ }
  };
  return [text, put];
}

function Describe() {
  const [text, setText] = useSentence(), [state, setState] = useState({ isBusy: false, error: null }), abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);
  const write = async (sentence) => {
    if (!sentence.trim() || state.isBusy) return;
    abort.current = new AbortController();
    setState({ isBusy: true, error: null });
    try {
      const { content } = await api.post("api/describe", { text: sentence }, { signal: abort.current.signal });
      await make(sentence.trim().slice(0, LONGEST_TITLE), { ...content, document: { source: t("common.generated"), ...content.document } });
      setText("");
    } catch (error) {
      setState({ isBusy: false, error: error.name === "AbortError" ? null : error });
    }
  };
  return html`<section class="card describe">
    <label for="describe">${t("home.describe")}</label>
    <${TextArea} id="describe" by="enter" rows=${2} value=${text} onInput=${setText} onSubmit=${write} placeholder=${t("home.describePlaceholder")}
      maxlength="1000" aria-describedby="describe-help" readonly=${state.isBusy} />
    <div class="row">
      ${state.isBusy ? html`<button type="button" onClick=${() => abort.current.abort()}><${Icon} name="stop" />${t("home.stop")}</button>`
        : html`<button type="button" class="primary" disabled=${!text.trim()} onClick=${() => write(text)}><${Icon} name="spark" />${t("home.write")}</button>`}
      <p class="help grow" id="describe-help" role="status">${state.isBusy ? t("home.writing") : t("home.describeHelp")}</p>
    </div>
    ${state.error && html`<p class="error" role="alert">${t("home.failed")} ${state.error.message}</p>`}
  </section>`;
}

function GalleryDialog({ entry, onClose }) {
  const [isBusy, start] = useAction(() => make(inLanguage(entry, "title"), { ...entry.content, item: entry.items?.[0] ?? entry.content.item ?? {} }));
  const notes = inLanguage(entry, "notes");
  return html`<${Dialog} title=${inLanguage(entry, "title")} onClose=${onClose} isWide>
    <p>${inLanguage(entry, "purpose")}</p>
    ${notes && html`<h3>${t("home.notes")}</h3><p class="notes">${notes}</p>`}
    <div class="row end"><button type="button" class="primary" autofocus disabled=${isBusy} onClick=${start}>${t("home.take")}</button></div>
    <details><summary>${t("home.inside")}</summary><${ContentView} content=${entry.content} /></details>
  </${Dialog}>`;
}

function rank({ slug }) {
  if (slug === LAST_OF_ALL) return FIRST.length + 1;
  return FIRST.includes(slug) ? FIRST.indexOf(slug) : FIRST.length;
}

function Gallery() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/gallery"))), [open, setOpen] = useState(null);
  const entries = [...(loaded.value?.data ?? [])].sort((a, b) => rank(a) - rank(b));
  return html`<section aria-labelledby="gallery">
    <h2 id="gallery">${t("home.gallery")}</h2>
    ${!loaded.value ? html`<${Pending} loaded=${loaded} />` : html`<ul class="cards gallery">${entries.map((entry) => html`<li key=${entry.slug}>
      <button type="button" class="card" onClick=${() => setOpen(entry)}><strong>${inLanguage(entry, "title")}</strong><span>${inLanguage(entry, "purpose")}</span></button></li>`)}</ul>`}
    ${open && html`<${GalleryDialog} entry=${open} onClose=${() => setOpen(null)} />`}
  </section>`;
}

function Last() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/prompts")));
  if (!loaded.value) return html`<${Pending} loaded=${loaded} />`;
  const last = loaded.value.data.slice(0, LAST);
  if (!last.length) return null;
  return html`<section aria-labelledby="last">
    <div class="row"><h2 id="last" class="grow">${t("home.last")}</h2><a href="#/prompts">${t("home.all")}</a></div>
    <ul class="card plain-list">${last.map(({ id, title, updated }) => html`<li key=${id}><a href=${`#/prompts/${id}`}>${title || t("prompts.untitled")}</a>
      <span class="help">${date(updated)}</span></li>`)}</ul>
  </section>`;
}

export default function Home() {
  const [isBusy, begin] = useAction(() => make(t("home.newTitle"), newContent({ name: t("home.newName"), field: t("home.newField"), answer: t("home.newAnswer") })));
  const open = (prompts) => go(prompts.length === 1 ? `prompts/${prompts[0].id}` : "prompts");
  return html`<${PageHead} title=${t("home.title")}>
      <button type="button" disabled=${isBusy} onClick=${begin}><${Icon} name="plus" />${t("home.empty")}</button>
      <${ImportPrompts} onMade=${open} />
    </${PageHead}>
    <${Describe} />
    <${Last} />
    <${Gallery} />`;
}
