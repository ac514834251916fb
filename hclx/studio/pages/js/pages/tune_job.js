// A job of tuning: how far it is, how well it learns, and what can be done with its model. "new" asks for one.
import { html, useEffect, useState } from "../html.js";
import { api } from "../api.js";
import { date, number, t } from "../words.js";
import { SCHEMA } from "../content.js";
import { loadSession } from "../session.js";
import { confirmed } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { JobProgress, StateTag, isUnfinished, stateOf, timeText } from "../parts/job_state.js";
import { notify, notifyError } from "../parts/notices.js";
import { PageHead, Pending, go, useAction } from "../parts/page.js";
import { LineChart } from "../parts/plot.js";
import { usePolling } from "../polling.js";
import { plainError } from "../parts/tune_errors.js";
import { TuneNew } from "../parts/tune_new.js";
import { plainDocument } from "../parts/tune_rows.js";

const JOBS = "../hclx/v1/tuning/jobs";
const ARTEFACTS = "../hclx/v1/artefacts";

const pointsOf = (curve, name) => curve.filter((figures) => figures[name] !== undefined).map((figures) => [figures.step, figures[name]]);

// What the run has logged, asked for again when the job has gone on.
function useCurve(job) {
  const [curve, setCurve] = useState([]);
  useEffect(() => {
    let isCurrent = true;
    if (job) api.get(`${JOBS}/${job.id}/metrics`).then(({ data }) => isCurrent && setCurve(data), () => {});
    return () => { isCurrent = false; };
  }, [job?.step, job?.state]);
  return curve;
}

// The figure of held-out rows that is of the same kind as the loss of learnt ones.
const heldOutLoss = (job) => (job.settings["TuneConfig.objective"] === "choices" ? "validation_choice_loss" : "validation_loss");

function Curves({ job, curve }) {
  if (curve.length < 2) return null;
  const nSteps = job.total_steps;
  const accuracy = pointsOf(curve, "validation_accuracy").map(([step, share]) => [step, 100 * share]), validation = pointsOf(curve, heldOutLoss(job));
  const losses = [{ name: t("tune.lossTrain"), points: pointsOf(curve, "loss") }, ...(validation.length ? [{ name: t("tune.lossHeldOut"), points: validation }] : [])];
  return html`<div class="curves">
    <section class="card"><h2>${t("tune.lossTitle")}</h2><p class="help">${t("tune.lossHelp")}</p>
      <${LineChart} label=${t("tune.lossTitle")} xLabel=${t("tune.step")} hint=${t("tune.plotHint")} series=${losses} xMax=${nSteps} /></section>
    ${accuracy.length > 0 && html`<section class="card"><h2>${t("tune.accuracyTitle")}</h2><p class="help">${t("tune.accuracyHelp")}</p>
      <${LineChart} label=${t("tune.accuracyTitle")} xLabel=${t("tune.step")} hint=${t("tune.plotHint")} series=${[{ name: t("tune.accuracy"), points: accuracy }]} yMin=${0} yMax=${100} xMax=${nSteps} /></section>`}
  </div>`;
}

// A prompt for the tuned model: that on which it was tuned, or one that has nothing but the input.
export function contentFor(job) {
  const document = job.prompt ?? { ...plainDocument(t("tune.plainInput"), t("tune.plainAnswer")), input: `{${t("tune.plainInput")}}` };
  return { schema: SCHEMA, view: "blocks", document, model: job.model, item: {} };
}

function Success({ job, artefact, onLogin }) {
  const [isBusy, open] = useAction(async () => {
    const session = await loadSession(); // the model has come since this page was opened
    if (!session.models.some(({ name }) => name === job.model)) return notify(t("tune.notServed"), "error");
    const { id } = await api.post("api/prompts", { title: t("tune.tryTitle", { name: job.name }), content: contentFor(job) });
    await onLogin();
    return go(`prompts/${id}`);
  });
  if (artefact === null) return html`<p class="warning">${t("tune.deleted")}</p>`;
  if (!job.model) return html`<p class="warning">${t("tune.elsewhere")}</p>`;
  return html`<section class="card success"><h2>${t("tune.done")}</h2><p>${t("tune.doneHelp", { model: job.model })}</p>
    <button type="button" class="primary" disabled=${isBusy} onClick=${open}><${Icon} name="play" />${t("tune.try")}</button></section>`;
}

function Failure({ job }) {
  return html`<section class="card" role="alert"><h2>${t(`tune.title_${job.state}`)}</h2>
    ${job.error && html`<p>${plainError(job.error)}</p><details><summary>${t("tune.exactError")}</summary><pre>${job.error}</pre></details>`}
    <a class="button" href="#/tune/new">${t("tune.anew")}</a></section>`;
}

// What a job has made: undefined until that is known, null once it was deleted.
function useArtefact(job) {
  const [artefact, setArtefact] = useState(undefined);
  useEffect(() => {
    let isCurrent = true;
    const missing = (error) => isCurrent && error.status === 404 && setArtefact(null);
    if (job?.state === "succeeded" && job.kind !== "finetune") api.get(`${ARTEFACTS}/${job.id}`).then((value) => isCurrent && setArtefact(value), missing);
    return () => { isCurrent = false; };
  }, [job?.id, job?.state]);
  return artefact;
}

function Facts({ job, artefact }) {
  const metrics = { ...job.metrics, ...artefact?.metrics }; // those of the step that was kept, which need not be the last
  const took = job.ended && job.started ? timeText(job.ended - job.started) : null;
  const facts = [
    [t("tune.accuracy"), metrics.validation_accuracy === undefined ? null : number(metrics.validation_accuracy, { style: "percent", maximumFractionDigits: 1 })],
    [t("tune.factHeldOut"), metrics[heldOutLoss(job)] === undefined ? null : number(metrics[heldOutLoss(job)], { maximumFractionDigits: 3 })],
    [t("tune.factTrain"), metrics.loss === undefined ? null : number(metrics.loss, { maximumFractionDigits: 3 })],
    [t("tune.took"), took],
  ].filter(([, value]) => value !== null);
  return facts.length ? html`<dl class="totals">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>` : null;
}

function Job({ id, onLogin }) {
  const polled = usePolling(() => api.get(`${JOBS}/${id}`), isUnfinished, [id]), job = polled.value;
  const curve = useCurve(job), artefact = useArtefact(job);
  if (!job) return html`<${PageHead} title=${t("tune.title")} /><${Pending} loaded=${polled} />`;
  const cancel = async () => {
    if (!(await confirmed(t("tune.cancelAsk"), { action: t("tune.cancel"), isDanger: true }))) return;
    await api.post(`${JOBS}/${id}/cancel`).catch(notifyError);
    polled.reload();
  };
  const isEndedBadly = ["failed", "interrupted", "cancelled"].includes(job.state);
  return html`<${PageHead} title=${job.name} note=${`${t(`tune.kind_${job.kind}`)} · ${date(job.created)}`}>
      ${isUnfinished(job) && html`<button type="button" disabled=${job.is_cancelled} onClick=${cancel}>${t("tune.cancel")}</button>`}
      <a class="button" href="#/tune">${t("tune.toList")}</a>
    </${PageHead}>
    ${polled.isAway && html`<p class="warning" role="alert">${t("tune.away")}</p>`}
    <p><${StateTag} job=${job} />${stateOf(job) === "cancelling" && html` <span class="help">${t("tune.cancellingHelp")}</span>`}</p>
    ${isUnfinished(job) && html`<section class="card"><${JobProgress} job=${job} />${job.error && html`<p class="help">${plainError(job.error)}</p>`}<p class="help">${t("tune.leaveHelp")}</p></section>`}
    ${job.state === "succeeded" && html`<${Success} job=${job} artefact=${artefact} onLogin=${onLogin} />`}
    ${isEndedBadly && html`<${Failure} job=${job} />`}
    <${Facts} job=${job} artefact=${artefact} />
    <${Curves} job=${job} curve=${curve} />`;
}

export default function TuneJob({ id, onLogin }) {
  return id === "new" ? html`<${TuneNew} />` : html`<${Job} id=${id} onLogin=${onLogin} />`;
}
