// The state of a job of tuning: as a word, and as a bar with the time that is left.
import { html, useRef } from "../html.js";
import { number, t } from "../words.js";

export const UNFINISHED = ["queued", "running"];
export const isUnfinished = (job) => UNFINISHED.includes(job.state);

const LOOK = { succeeded: "good", failed: "bad", interrupted: "bad" };
export const StateTag = ({ job }) => html`<span class=${`tag ${LOOK[job.state] ?? ""}`}>${t(`tune.state_${stateOf(job)}`)}</span>`;
export const stateOf = (job) => (job.is_cancelled && isUnfinished(job) ? "cancelling" : job.state);

const SECONDS = [[3600, "hours"], [60, "minutes"], [1, "seconds"]];
export function timeText(seconds) {
  const [size, unit] = SECONDS.find(([least]) => seconds >= least * 1.5) ?? SECONDS.at(-1);
  return t(`tune.${unit}`, { n: number(Math.max(1, Math.round(seconds / size))) });
}

const WATCHED = 3, BEGUN = 20; // steps after which a pace is known: the first takes as long as many others

// How many seconds a job takes yet, by the steps since this page has watched it, or since it began; null: not known yet.
export function useTimeLeft(job) {
  const first = useRef(null), now = Date.now() / 1000;
  if (job.state !== "running" || job.step === 0) return null;
  if (first.current === null || first.current.step > job.step) first.current = { step: job.step, time: now };
  const watched = job.step - first.current.step;
  const pace = watched >= WATCHED ? (now - first.current.time) / watched : job.step >= BEGUN && now > job.started ? (now - job.started) / job.step : null;
  return pace === null ? null : pace * (job.total_steps - job.step);
}

export function JobProgress({ job }) {
  const left = useTimeLeft(job), share = job.total_steps ? job.step / job.total_steps : 0;
  const percent = number(share, { style: "percent", maximumFractionDigits: 0 });
  return html`<div class="job-progress">
    <progress max=${job.total_steps || 1} value=${job.step} aria-label=${t("tune.progress")}></progress>
    <p role="status" class="help">${job.state === "queued" ? t("tune.queuedHelp") : job.step === 0 ? t("tune.preparing")
      : job.step >= job.total_steps ? t("tune.finishing")
      : `${t("tune.steps", { step: number(job.step), total: number(job.total_steps), percent })}${left === null ? "" : ` · ${t("tune.left", { time: timeText(left) })}`}`}</p>
  </div>`;
}
