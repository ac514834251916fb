// How far a batch is, as a word, a bar and numbers.
import { html } from "../html.js";
import { number, t } from "../words.js";

const LOOKS = { done: "good", failed: "bad" };

export const isUnfinished = ({ state }) => state === "waiting" || state === "running";
export const BatchState = ({ batch }) => html`<span class=${`tag ${LOOKS[batch.state] ?? ""}`}>${t(`batches.state_${batch.state}`)}</span>`;

export function BatchProgress({ batch }) {
  const { done, total, failed } = batch;
  return html`<div class="batch-progress"><progress max=${total} value=${done} aria-label=${t("batches.progress")}></progress>
    <span class="number">${t("batches.doneOf", { done: number(done), total: number(total) })}</span>
    ${failed > 0 && html`<span class="error">${t("batches.failedRows", { n: number(failed) })}</span>`}</div>`;
}
