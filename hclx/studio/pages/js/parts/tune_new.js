// Asks for a tuned model in three steps: examples, the way, a name. What is chosen stays when the page is loaded again.
import { html, useEffect, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { t } from "../words.js";
import { useSession } from "../session.js";
import { Field } from "./field.js";
import { Icon } from "./icons.js";
import { PageHead, Pending, go, useLoaded } from "./page.js";
import { TextInput } from "./text_input.js";
import { TuneExamples } from "./tune_examples.js";
import { plainError } from "./tune_errors.js";
import { checkRows, isName, jsonLines, learntDocument, nameOf, settingsOf, usualEpochs } from "./tune_rows.js";
import { TuneWay, usualWay } from "./tune_way.js";

const KEY = "hclx-tune-new";
const EMPTY = { source: "prompt", prompt: "", fileRows: null, fileName: null, tested: "measure", name: null, way: usualWay() };

function keptPlan() {
  const asked = new URLSearchParams(location.hash.split("?")[1]).get("prompt");
  try {
    const kept = { ...EMPTY, ...JSON.parse(sessionStorage.getItem(KEY)) };
    return asked && asked !== kept.prompt ? { ...EMPTY, prompt: asked } : kept;
  } catch {
    return { ...EMPTY, prompt: asked ?? "" };
  }
}
function keep(plan) {
  try {
    if (plan) sessionStorage.setItem(KEY, JSON.stringify(plan));
    else sessionStorage.removeItem(KEY);
  } catch { /* too many rows: they are chosen again after a reload */ }
}

// Brings rows to the server, and returns the id of the data set.
async function bring(name, rows) {
  const { id } = await api.upload(`../hclx/v1/datasets?name=${encodeURIComponent(`${name}.jsonl`)}`, new Blob([jsonLines(rows)]));
  return id;
}

// Asks for the job. If it is refused, the data sets that were brought for it are removed again.
async function startJob({ name, way, rows, tested, document }) {
  const brought = [];
  try {
    const dataset = await bring(name, rows);
    brought.push(dataset);
    const validation = tested.length ? await bring(t("tune.testName", { name }), tested) : null;
    if (validation) brought.push(validation);
    return await api.post("../hclx/v1/tuning/jobs", {
      name, dataset, ...(validation ? { validation } : {}), kind: way.kind, epochs: way.epochs, too_long: way.dropsLong ? "drop" : "refuse",
      prompt: learntDocument(document), settings: settingsOf(way, rows.length, document, tested.length > 0),
    });
  } catch (error) {
    await Promise.allSettled(brought.map((id) => api.delete(`../hclx/v1/datasets/${id}`)));
    throw error;
  }
}

function Step({ number, title, children }) {
  return html`<section class="card step" aria-labelledby=${`step-${number}`}>
    <h2 id=${`step-${number}`}><span class="step-number" aria-hidden="true">${number}</span>${title}</h2>${children}</section>`;
}

function Form({ prompts }) {
  const [plan, setPlan] = useState(keptPlan), [ready, setReady] = useState(null), [isBusy, setBusy] = useState(false), [failure, setFailure] = useState(null);
  const { models } = useSession(), base = models.find((model) => !model.is_tuned)?.name ?? models[0]?.name;
  const change = (changes) => { setPlan((latest) => ({ ...latest, ...changes })); setFailure(null); };
  const changeWay = (changes) => change({ way: { ...plan.way, ...changes } });
  useEffect(() => keep(plan), [plan]);
  const way = { ...plan.way, epochs: plan.way.epochs ?? usualEpochs(ready?.rows.length ?? 0) };
  const name = plan.name ?? nameOf(ready?.title ?? "");
  const isSound = ready !== null && !checkRows(ready.rows, ready.document).some(({ isError }) => isError);
  const start = async () => {
    setBusy(true);
    setFailure(null);
    try {
      const job = await startJob({ ...ready, name, way });
      keep(null);
      go(`tune/${job.id}`);
    } catch (error) {
      setFailure(error);
    }
    setBusy(false);
  };
  return html`
    <${Step} number=${1} title=${t("tune.step1")}><${TuneExamples} plan=${plan} change=${change} prompts=${prompts} onReady=${setReady} /></${Step}>
    ${isSound && html`
      <${Step} number=${2} title=${t("tune.step2")}><${TuneWay} way=${way} change=${changeWay} n_rows=${ready.rows.length} hasValidation=${ready.tested.length > 0} /></${Step}>
      <${Step} number=${3} title=${t("tune.step3")}>
        <${Field} label=${t("tune.name")} help=${t("tune.nameHelp", { model: `${base}:${name || "…"}` })} error=${ready.title && !isName(name) ? t("tune.nameWrong") : null}>${(attributes) => html`
          <${TextInput} ...${attributes} value=${name} onInput=${(text) => change({ name: text })} onSubmit=${() => isName(name) && !isBusy && start()} maxlength="60" />`}</${Field}>
        ${failure && html`<div class="error" role="alert"><p>${plainError(failure.message, failure.code)}</p>
          <details><summary>${t("tune.exactError")}</summary><p>${failure.message}</p></details></div>`}
        <div class="row"><button type="button" class="primary" disabled=${isBusy || !isName(name)} onClick=${start}><${Icon} name="play" />${t(isBusy ? "tune.starting" : "tune.start")}</button>
          <span class="help" role="status">${isBusy ? t("tune.startingHelp") : t("tune.startHelp")}</span></div>
      </${Step}>`}`;
}

export function TuneNew() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/prompts")));
  return html`<${PageHead} title=${t("tune.new")} note=${t("tune.newHelp")}><a class="button" href="#/tune">${t("tune.toList")}</a></${PageHead}>
    ${loaded.value ? html`<${Form} prompts=${loaded.value.data} />` : html`<${Pending} loaded=${loaded} />`}`;
}
