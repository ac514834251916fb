// The batches of a person, and a new one.
import { html, useState } from "../html.js";
import { api } from "../api.js";
import { date, t } from "../words.js";
import { usePolling } from "../polling.js";
import { BatchProgress, BatchState, isUnfinished } from "../parts/batch_progress.js";
import { Icon } from "../parts/icons.js";
import { NewBatch } from "../parts/new_batch.js";
import { PageHead, Pending } from "../parts/page.js";

function List({ batches }) {
  return html`<div class="scroll"><table class="batches stacking"><caption class="hidden">${t("batches.list")}</caption>
    <thead><tr><th scope="col">${t("common.name")}</th><th scope="col">${t("batches.state")}</th><th scope="col">${t("batches.progress")}</th><th scope="col">${t("common.created")}</th></tr></thead>
    <tbody>${batches.map((batch) => html`<tr key=${batch.id}>
      <th scope="row"><a href=${`#/batches/${batch.id}`}>${batch.name}</a></th>
      <td data-label=${t("batches.state")}><div><${BatchState} batch=${batch} /></div></td><td data-label=${t("batches.progress")}><${BatchProgress} batch=${batch} /></td><td data-label=${t("common.created")}>${date(batch.created)}</td></tr>`)}</tbody></table></div>`;
}

export default function Batches() {
  const [isAdding, setAdding] = useState(false);
  const { value, error, isAway, reload } = usePolling(() => api.get("api/batches"), ({ data }) => data.some(isUnfinished));
  return html`
    <${PageHead} title=${t("shell.batches")} note=${t("batches.note")}>
      <button type="button" class="primary" onClick=${() => setAdding(true)}><${Icon} name="plus" />${t("batches.add")}</button></${PageHead}>
    ${isAway && html`<p class="warning" role="status">${t("batches.away")}</p>`}
    ${!value ? html`<${Pending} loaded=${{ error, reload }} />`
      : value.data.length === 0 ? html`<section class="empty"><h2>${t("batches.none")}</h2><p>${t("batches.noneText")}</p></section>`
      : html`<${List} batches=${value.data} />`}
    ${isAdding && html`<${NewBatch} onClose=${() => setAdding(false)} />`}`;
}
