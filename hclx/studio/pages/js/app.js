// The page of an app: fields to fill in, and the answer as it is written. Nothing else of the Studio is here.
import { html, render, useEffect, useRef, useState } from "./html.js";
import { api, whenBack } from "./api.js";
import { loadWords, t } from "./words.js";
import { useRun } from "./run.js";
import { Field } from "./parts/field.js";
import { Icon } from "./parts/icons.js";
import { Notices } from "./parts/notices.js";
import { EmptyPage, Pending, copyText, useLoaded } from "./parts/page.js";
import { Bars, Waiting, answerText } from "./parts/result.js";
import { TextArea } from "./parts/text_input.js";

const SLUG = decodeURIComponent(location.pathname).split("/").filter(Boolean).at(-1);

// Keeps something for this tab alone; storage may be switched off.
function kept(name, value) {
  const key = `hclx-app-${name}-${SLUG}`;
  try {
    if (value !== undefined) sessionStorage.setItem(key, value);
    return sessionStorage.getItem(key);
  } catch {
    return value ?? null;
  }
}

// The key behind # of the address, from where it is taken out, so that it is not passed on by a copied address.
function takeKey() {
  const given = decodeURIComponent(location.hash.slice(1));
  if (!given) return kept("key");
  history.replaceState(null, "", location.pathname + location.search);
  return kept("key", given) ?? given;
}

function keptItem() {
  try {
    return JSON.parse(kept("item")) ?? {};
  } catch {
    return {};
  }
}

// What has gone wrong, and what can be done, in plain words.
function failureText({ status, error }) {
  if (status === 401 || status === 403) return t("apps.wrongKey");
  if (status === 404) return t("apps.gone");
  return error;
}

function Answer({ run, isRunning, onAgain }) {
  const [candidate] = run.candidates, { end, scores } = candidate, isBlocked = end?.stop_reason === "content_filter";
  const text = answerText(candidate);
  return html`<section class="card app-answer" aria-busy=${isRunning} aria-labelledby="answer">
    <h2 id="answer">${t("result.title")}</h2>
    ${isRunning && !text && html`<${Waiting} />`}
    ${scores ? html`<p class="answer">${end?.answer ?? ""}</p><${Bars} scores=${scores} answer=${end?.answer} />`
      : (text || isRunning) && html`<div class="written">${text}${isRunning && html`<span class="caret" aria-hidden="true"></span>`}</div>`}
    ${isBlocked && html`<p class="warning">${t("apps.blocked")}</p>`}
    ${run.state === "stopped" && html`<p class="help">${t("result.stopped")}</p>`}
    ${run.state === "broken" && html`<p class="warning" role="alert">${t("apps.broken")}</p>`}
    ${run.state === "failed" && html`<p class="error" role="alert">${failureText(run)}</p>`}
    ${!isRunning && html`<div class="row">
      ${(text || scores) && html`<button type="button" onClick=${() => copyText(scores ? end.answer : text)}><${Icon} name="copy" />${t("common.copy")}</button>`}
      ${["broken", "failed"].includes(run.state) && html`<button type="button" onClick=${onAgain}>${t("common.again")}</button>`}</div>`}
    <p class="hidden" role="status">${isRunning ? t("result.running") : run.state === "done" ? t("result.ready") : ""}</p>
  </section>`;
}

function Form({ about, secret }) {
  const { title, description, fields } = about, [item, setItem] = useState(keptItem), { run, isRunning, start, stop } = useRun(), answer = useRef(null);
  useEffect(() => { document.title = title; }, [title]);
  const put = (name, text) => {
    const next = { ...item, [name]: text };
    setItem(next);
    kept("item", JSON.stringify(next));
  };
  const ask = () => {
    if (isRunning) return;
    const body = Object.fromEntries(fields.map((name) => [name, item[name] ?? ""]));
    start(null, body, { path: encodeURIComponent(SLUG), body, isQuiet: true, headers: secret ? { Authorization: `Bearer ${secret}` } : {} });
    answer.current?.scrollIntoView({ block: "nearest" });
  };
  const isEmpty = fields.length > 0 && fields.every((name) => !(item[name] ?? "").trim());
  return html`<h1>${title}</h1>
    ${description && html`<p class="description">${description}</p>`}
    <section class="card" aria-label=${t("apps.input")}>
      ${fields.map((name, index) => html`<${Field} key=${name} label=${name}>${(attributes) => html`<${TextArea} ...${attributes} autofocus=${index === 0} rows=${3}
        value=${item[name] ?? ""} onInput=${(text) => put(name, text)} onSubmit=${ask} />`}</${Field}>`)}
      <div class="row">${isRunning ? html`<button type="button" class="primary" onClick=${stop}><${Icon} name="stop" />${t("write.stop")}</button>`
        : html`<button type="button" class="primary" disabled=${isEmpty} onClick=${ask}><${Icon} name="play" />${t("apps.ask")}</button>`}
        <span class="help">${t("write.runHelp")}</span></div>
    </section>
    <div ref=${answer}>${run && html`<${Answer} run=${run} isRunning=${isRunning} onAgain=${ask} />`}</div>`;
}

function App({ secret }) {
  const loaded = useLoaded(() => whenBack(() => api.get(`${encodeURIComponent(SLUG)}/about`)));
  if (loaded.error?.status === 404) return html`<main><${EmptyPage} title=${t("apps.gone")} role="alert"><p>${t("apps.goneHelp")}</p></${EmptyPage}></main>`;
  return html`<main class="app-page">${loaded.value ? html`<${Form} about=${loaded.value} secret=${secret} />` : html`<${Pending} loaded=${loaded} />`}</main><${Notices} />`;
}

const secret = takeKey();
const theme = (() => { try { return localStorage.getItem("hclx-theme"); } catch { return null; } })();
document.documentElement.dataset.theme = theme ?? "system";
loadWords().then(() => render(html`<${App} secret=${secret} />`, document.getElementById("app")));
