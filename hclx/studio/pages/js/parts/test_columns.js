// Which column of a table goes into which slot of the prompt, where the gold answers are, and when an answer is right.
import { html } from "../html.js";
import { t } from "../words.js";
import { MOST_REPEATS } from "../test_settings.js";
import { Choice, Field, Slider } from "./field.js";

function ColumnField({ label, help, none, columns, value, error, onChange }) {
  return html`<${Field} label=${label} help=${help} error=${error}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(event.currentTarget.value)}>
    <option value="" selected=${!value}>${none}</option>
    ${columns.map((name) => html`<option key=${name} value=${name} selected=${name === value}>${name}</option>`)}</select>`}</${Field}>`;
}

// onTest gets changes of the test; onColumn adds a column of a name.
export function TestColumns({ test, columns, binding, isWritten, onTest, onColumn }) {
  const { bound, label, missing } = binding;
  return html`
    ${missing.map((name) => html`<div key=${name} class="warning row" role="alert"><span class="grow">${t("test.missingColumn", { name })}</span>
      <button type="button" onClick=${() => onColumn(name)}>${t("test.addColumn", { name })}</button></div>`)}
    <details class="test-columns"><summary>${t("test.columns")}</summary>
      <div class="fields">
        ${Object.entries(bound).map(([name, column]) => html`<${ColumnField} key=${name} label=${t("test.slot", { name })} none=${t("test.noColumn")} columns=${columns} value=${column}
          onChange=${(next) => onTest({ bound: { ...test.bound, [name]: next } })} />`)}
        <${ColumnField} label=${t("test.goldColumn")} none=${t("test.noGoldColumn")} columns=${columns} value=${label} onChange=${(next) => onTest({ label: next })} />
      </div>
      ${!label && !columns.includes(t("test.gold")) && html`<p><button type="button" onClick=${() => { onColumn(t("test.gold")); onTest({ label: null }); }}>${t("test.addGold")}</button></p>`}
      ${isWritten && html`<${Choice} label=${t("test.rule")} value=${test.rule} options=${[["equal", t("test.rule_equal")], ["contains", t("test.rule_contains")]]} onChange=${(rule) => onTest({ rule })} />`}
      ${isWritten && html`<${Slider} label=${t("test.repeats")} help=${t("test.repeatsHelp")} value=${test.repeats} min=${1} max=${MOST_REPEATS} step=${1} onChange=${(repeats) => onTest({ repeats: Math.round(repeats) })} />`}
    </details>`;
}
