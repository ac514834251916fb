// Models that were tuned, the jobs that make them, and the rows that were brought for them.
import { html } from "../html.js";
import { api } from "../api.js";
import { date, number, t } from "../words.js";
import { useSession } from "../session.js";
import { confirmed } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { JobProgress, StateTag, isUnfinished } from "../parts/job_state.js";
import { notify, notifyError } from "../parts/notices.js";
import { PageHead, Pending } from "../parts/page.js";
import { usePolling } from "../polling.js";
import { usersOf } from "../parts/model_users.js";

const HERE = "../hclx/v1";
const bytes = (count) => number(count / 1e6, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 });
export const figuresOf = ({ validation_accuracy, validation_loss, loss }) => {
  if (validation_accuracy !== undefined) return t("tune.accuracyOf", { n: number(validation_accuracy, { style: "percent", maximumFractionDigits: 1 }) });
  const value = validation_loss ?? loss;
  return value === undefined ? "" : t(validation_loss === undefined ? "tune.lossOf" : "tune.validationOf", { n: number(value, { maximumFractionDigits: 3 }) });
};

async function loadAll() {
  const [jobs, artefacts, datasets] = await Promise.all(["tuning/jobs", "artefacts", "datasets"].map((path) => api.get(`${HERE}/${path}`)));
  return { jobs: jobs.data, artefacts: artefacts.data, datasets: datasets.data };
}

function JobCard({ job }) {
  return html`<li class="card job"><div class="row"><h3 class="grow"><a href=${`#/tune/${job.id}`}>${job.name}</a></h3><${StateTag} job=${job} /></div>
    <p class="help">${t(`tune.kind_${job.kind}`)} · ${date(job.created)}</p>
    ${isUnfinished(job) ? html`<${JobProgress} job=${job} />` : html`<p>${figuresOf(job.metrics)}</p>`}</li>`;
}

function Models({ artefacts, onChange }) {
  const remove = async (artefact) => {
    try {
      const users = artefact.model ? await usersOf(artefact.model) : [];
      const question = users.length ? t("tune.removeUsed", { name: artefact.name, titles: users.join(", ") }) : t("tune.removeAsk", { name: artefact.name });
      if (!(await confirmed(question, { action: t("common.remove"), isDanger: true }))) return;
      await api.delete(`${HERE}/artefacts/${artefact.id}`);
      notify(t("tune.removed", { name: artefact.name }));
    } catch (error) {
      notifyError(error);
    }
    onChange();
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("tune.models")}><table class="stacking"><caption class="hidden">${t("tune.models")}</caption>
    <thead><tr>${["modelName", "result", "made", "bytes"].map((name) => html`<th key=${name} scope="col">${t(`tune.${name}`)}</th>`)}<th scope="col"><span class="hidden">${t("common.remove")}</span></th></tr></thead>
    <tbody>${artefacts.map((artefact) => html`<tr key=${artefact.id}>
      <th scope="row"><a href=${`#/tune/${artefact.id}`}>${artefact.model ?? artefact.name}</a></th>
      <td data-label=${t("tune.result")}>${figuresOf(artefact.metrics) || "–"}</td>
      <td data-label=${t("tune.made")}>${date(artefact.created)}</td><td data-label=${t("tune.bytes")}>${bytes(artefact.bytes)}</td>
      <td><button type="button" class="plain" aria-label=${t("tune.removeOne", { name: artefact.name })} onClick=${() => remove(artefact)}><${Icon} name="trash" /></button></td></tr>`)}</tbody>
  </table></div>`;
}

function Datasets({ datasets, onChange }) {
  const remove = async (dataset) => {
    if (!(await confirmed(t("tune.removeRows", { name: dataset.name }), { action: t("common.remove"), isDanger: true }))) return;
    try {
      await api.delete(`${HERE}/datasets/${dataset.id}`);
    } catch (error) {
      notifyError(error.status === 409 ? Object.assign(new Error(t("tune.rowsInUse")), { code: error.code }) : error);
    }
    onChange();
  };
  return html`<details><summary>${t("tune.datasets", { n: number(datasets.length) })}</summary><div class="scroll" tabindex="0" role="region" aria-label=${t("tune.datasetsHelp")}><table class="stacking"><caption class="hidden">${t("tune.datasetsHelp")}</caption>
    <tbody>${datasets.map((dataset) => html`<tr key=${dataset.id}><th scope="row">${dataset.name}</th><td>${t("common.rows", { n: number(dataset.rows) })}</td><td>${date(dataset.created)}</td>
      <td><button type="button" class="plain" aria-label=${t("tune.removeOne", { name: dataset.name })} onClick=${() => remove(dataset)}><${Icon} name="trash" /></button></td></tr>`)}</tbody></table></div></details>`;
}

export default function Tune() {
  const { has_tuning } = useSession();
  const polled = usePolling(loadAll, ({ jobs }) => jobs.some(isUnfinished));
  if (!has_tuning) return html`<${PageHead} title=${t("tune.title")} /><p class="empty">${t("tune.noTuning")}</p>`;
  const head = html`<${PageHead} title=${t("tune.title")} note=${t("tune.help")}><a class="button primary" href="#/tune/new"><${Icon} name="plus" />${t("tune.new")}</a></${PageHead}>`;
  if (!polled.value) return html`${head}<${Pending} loaded=${polled} />`;
  const { jobs, artefacts, datasets } = polled.value;
  if (!jobs.length && !artefacts.length) return html`${head}<section class="empty"><h2>${t("tune.noJobs")}</h2><p>${t("tune.noJobsHelp")}</p></section>`;
  const running = jobs.filter(isUnfinished), ended = jobs.filter((job) => !isUnfinished(job));
  return html`${head}
    ${polled.isAway && html`<p class="warning" role="alert">${t("tune.away")}</p>`}
    ${running.length > 0 && html`<section><h2>${t("tune.running")}</h2><ul class="cards jobs">${running.map((job) => html`<${JobCard} key=${job.id} job=${job} />`)}</ul></section>`}
    <section><h2>${t("tune.models")}</h2>${artefacts.length ? html`<${Models} artefacts=${artefacts} onChange=${polled.reload} />` : html`<p class="help">${t("tune.noModels")}</p>`}</section>
    ${ended.length > 0 && html`<details class="past" open=${!running.length && !artefacts.length}><summary>${t("tune.past", { n: number(ended.length) })}</summary>
      <ul class="cards jobs">${ended.map((job) => html`<${JobCard} key=${job.id} job=${job} />`)}</ul></details>`}
    ${datasets.length > 0 && html`<${Datasets} datasets=${datasets} onChange=${polled.reload} />`}`;
}
