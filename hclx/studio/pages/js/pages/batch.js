// One batch: how far it is, what has come of its rows, and the file of all of them.
import { html, useEffect, useRef, useState } from "../html.js";
import { addressOf, api } from "../api.js";
import { date, number, t } from "../words.js";
import { plainError } from "../row_errors.js";
import { perMinute, usePolling, withSample } from "../polling.js";
import { BatchProgress, BatchState, isUnfinished } from "../parts/batch_progress.js";
import { confirmed } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { notify } from "../parts/notices.js";
import { PageHead, Pending, go, useAction } from "../parts/page.js";
import { share } from "../parts/test_cell.js";

const SHOWN = 50; // rows of a page of results

function leftText(minutes) {
  if (minutes < 1) return t("batches.moment");
  return minutes < 90 ? t("batches.minutes", { n: number(Math.ceil(minutes)) }) : t("batches.hours", { n: number(minutes / 60, { maximumFractionDigits: 1 }) });
}

// The rate and the time left, by how many rows have ended since the page looks.
function Pace({ batch }) {
  const samples = useRef([]);
  if (batch.state === "running") samples.current = withSample(samples.current, Date.now(), batch.done);
  else samples.current = [];
  const rate = perMinute(samples.current);
  if (rate === null || batch.state !== "running") return null;
  return html`<span class="help">${t("batches.rate", { n: number(rate, { maximumFractionDigits: rate < 10 ? 1 : 0 }) })} · ${t("batches.left", { time: leftText((batch.total - batch.done) / rate) })}</span>`;
}

function Buttons({ batch, onChanged }) {
  const [isBusy, call] = useAction(async (verb) => {
    await api.post(`api/batches/${batch.id}/${verb}`);
    onChanged();
  });
  const remove = async () => {
    if (!(await confirmed(t("batches.removeAsk", { name: batch.name }), { action: t("common.remove"), isDanger: true }))) return;
    await api.delete(`api/batches/${batch.id}`);
    notify(t("batches.removed"));
    go("batches");
  };
  const [isRemoving, askAndRemove] = useAction(remove);
  const file = (format) => addressOf(`api/batches/${batch.id}/result?format=${format}`);
  const mayGoOn = batch.state === "paused" || (batch.state === "failed" && batch.done < batch.total);
  return html`<div class="row">
    ${isUnfinished(batch) && html`<button type="button" disabled=${isBusy} onClick=${() => call("pause")}><${Icon} name="pause" />${t("batches.pause")}</button>`}
    ${mayGoOn && html`<button type="button" class="primary" disabled=${isBusy} onClick=${() => call("resume")}><${Icon} name="play" />${t("batches.resume")}</button>`}
    ${batch.state === "done" && batch.failed > 0 && html`<button type="button" disabled=${isBusy} onClick=${() => call("resume")}><${Icon} name="redo" />${t("batches.retry")}</button>`}
    ${batch.done > 0 && html`<a class=${`button ${batch.state === "done" ? "primary" : ""}`} download href=${file("csv")}><${Icon} name="down" />${t("batches.csv")}</a>
      <a class="button" download href=${file("jsonl")}><${Icon} name="down" />${t("batches.jsonl")}</a>`}
    <button type="button" class="plain" disabled=${isRemoving} onClick=${askAndRemove}><${Icon} name="trash" />${t("common.remove")}</button>
    ${isUnfinished(batch) && batch.done > 0 && html`<span class="help">${t("batches.fetchedWhile")}</span>`}
  </div>`;
}

const answerText = ({ answer, text }) => (answer === null || answer === undefined ? text ?? "" : typeof answer === "string" ? answer : JSON.stringify(answer));

// The rows of a page; they are asked for again as rows end.
function useRows(batch, from) {
  const [rows, setRows] = useState(null), turn = useRef(0);
  useEffect(() => {
    const own = ++turn.current;
    api.get(`api/batches/${batch.id}/rows?from=${from}&count=${SHOWN}`).then(({ data }) => own === turn.current && setRows(data), () => {}); // polling tells that the server is away
  }, [batch.id, batch.done, batch.state, from]);
  return rows;
}

function Rows({ batch }) {
  const [from, setFrom] = useState(0), rows = useRows(batch, from), { columns, total } = batch;
  if (!rows) return html`<${Pending} loaded=${{}} />`;
  const has = { choices: rows.some(({ choices }) => choices), text: rows.some((row) => row.text && row.text.trim() !== answerText(row).trim() && !row.choices) };
  const last = Math.min(total, from + SHOWN);
  return html`<section class="card"><h2>${t("batches.results")}</h2>
    <div class="scroll batch-rows" tabindex="0" role="region" aria-label=${t("batches.results")}><table><caption class="hidden">${t("batches.results")}</caption>
      <thead><tr><th scope="col" class="number">${t("batches.row")}</th>${columns.map((name) => html`<th key=${name} scope="col">${name}</th>`)}<th scope="col">${t("batches.answer")}</th>
        ${has.choices && html`<th scope="col" class="number">${t("batches.probability")}</th>`}${has.text && html`<th scope="col">${t("batches.text")}</th>`}</tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.number}><th scope="row" class="number">${number(row.number + 1)}</th>
        ${columns.map((name) => html`<td key=${name}><div class="clip" title=${row.fields[name]}>${row.fields[name]}</div></td>`)}
        <td>${row.error ? html`<span class="error" title=${row.error.message}>${plainError(row.error)}</span>` : row.usage || row.text !== null ? html`<div class="clip answer" title=${answerText(row)}>${answerText(row)}</div>` : html`<span class="help">${t("batches.notYet")}</span>`}</td>
        ${has.choices && html`<td class="number">${row.choices && row.answer in row.choices ? share(row.choices[row.answer]) : ""}</td>`}
        ${has.text && html`<td><div class="clip" title=${row.text}>${row.text}</div></td>`}</tr>`)}</tbody></table></div>
    <div class="row pager"><button type="button" disabled=${from === 0} onClick=${() => setFrom(Math.max(0, from - SHOWN))}>${t("batches.before")}</button>
      <span role="status">${t("batches.page", { from: number(from + 1), to: number(last), total: number(total) })}</span>
      <button type="button" disabled=${last >= total} onClick=${() => setFrom(from + SHOWN)}>${t("batches.next")}</button></div>
  </section>`;
}

export default function Batch({ id }) {
  const polled = usePolling(() => api.get(`api/batches/${id}`), isUnfinished, [id]), { value: batch, isAway, wasAway } = polled;
  useEffect(() => { if (wasAway) notify(t("batches.back_again")); }, [wasAway]);
  if (!batch) return html`${isAway && html`<p class="warning" role="status">${t("batches.away")}</p>`}<${Pending} loaded=${polled} />`;
  const times = [t("batches.created", { date: date(batch.created) }), batch.ended && t("batches.ended", { date: date(batch.ended) })].filter(Boolean);
  return html`
    <p class="back"><a href="#/batches">← ${t("batches.back")}</a></p>
    <${PageHead} title=${batch.name} note=${times.join(" · ")}><${BatchState} batch=${batch} /></${PageHead}>
    ${isAway && html`<p class="warning" role="status">${t("batches.away")}</p>`}
    ${batch.reason && html`<p class=${batch.state === "failed" ? "error" : "warning"} role="status">${t(batch.state === "failed" ? "batches.failedReason" : "batches.reason")} ${plainError(batch.reason)}</p>`}
    <section class="card"><${BatchProgress} batch=${batch} /><${Pace} batch=${batch} /><${Buttons} batch=${batch} onChanged=${polled.reload} /></section>
    <${Rows} batch=${batch} />`;
}
