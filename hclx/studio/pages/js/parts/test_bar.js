// What is compared, and the buttons that run it.
import { html } from "../html.js";
import { number, t } from "../words.js";
import { MOST_SETTINGS } from "../test_settings.js";
import { Icon } from "./icons.js";

// settings: with {id, title, isStale}.
export function SettingsBar({ settings, isBusy, onAdd, onRemove }) {
  return html`<div class="settings-bar"><h2>${t("test.settings")}</h2>
    <ul class="chips">${settings.map(({ id, title, isStale }) => html`<li class="chip" key=${id}><span>${title}</span>
      ${isStale && html`<span class="tag">${t("test.stale")}</span>`}
      ${settings.length > 1 ? html`<button type="button" class="plain" disabled=${isBusy} aria-label=${t("test.removeSetting", { name: title })} onClick=${() => onRemove(id)}>✕</button>` : html`<span class="pad"></span>`}</li>`)}
      ${settings.length < MOST_SETTINGS && html`<li><button type="button" disabled=${isBusy} onClick=${onAdd}><${Icon} name="plus" />${t("test.addSetting")}</button></li>`}</ul>
    ${settings.some(({ isStale }) => isStale) && html`<p class="help">${t("test.staleHelp")}</p>`}
  </div>`;
}

function waitText({ reason, resumes }) {
  const minutes = Math.ceil((resumes - Date.now()) / 60_000);
  if (reason !== "quota") return t("test.waitAway");
  return minutes > 1 ? t("test.waitQuotaLong", { minutes: number(minutes) }) : t("test.waitQuota");
}

function runLabel({ answered, stale, missing, failed }) {
  if (answered === 0) return t("test.runAll");
  if (stale) return t("test.runChanged", { n: number(missing) });
  if (missing > 0) return t("test.runRest", { n: number(missing) });
  return failed > 0 ? t("test.runFailed", { n: number(failed) }) : t("test.runAgain");
}

// queue: the state of a TestQueue. counts: {missing, failed, answered, chosen, stale}.
export function RunControls({ queue, counts, mayRun, actions }) {
  const isBusy = queue.state !== "idle", isPaused = queue.state === "paused";
  const label = runLabel(counts);
  return html`<div class="run-controls">
    <div class="row">
      ${!isBusy && html`<button type="button" class="primary" disabled=${!mayRun} onClick=${actions.runAll}><${Icon} name="play" />${label}</button>`}
      ${!isBusy && counts.chosen > 0 && html`<button type="button" disabled=${!mayRun} onClick=${actions.runChosen}>${t("test.runChosen", { n: number(counts.chosen) })}</button>`}
      ${isBusy && html`<button type="button" class="primary" onClick=${isPaused ? actions.resume : actions.pause}><${Icon} name=${isPaused ? "play" : "pause"} />${isPaused ? t("test.resume") : t("test.pause")}</button>
        <button type="button" onClick=${actions.stop}><${Icon} name="stop" />${t("write.stop")}</button>`}
      ${isBusy && html`<progress class="grow" max=${queue.total} value=${queue.done} aria-label=${t("test.progress")}></progress>
        <span class="number">${t("test.doneOf", { done: number(queue.done), total: number(queue.total) })}</span>`}
    </div>
    <p class=${queue.state === "waiting" ? "warning" : "help"} role="status">${queue.state === "waiting" ? waitText(queue)
      : isPaused ? t("test.paused") : isBusy ? t("test.running") : !mayRun ? t("test.nothingToRun") : queue.total > 0 && queue.done === queue.total ? t("test.ready") : ""}</p>
  </div>`;
}
