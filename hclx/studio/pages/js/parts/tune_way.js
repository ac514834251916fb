// The second step of tuning: in which way, how often the rows are read, and settings for those who want them.
import { html } from "../html.js";
import { number, t } from "../words.js";
import { Choice, Slider, Switch } from "./field.js";
import { aboutSteps } from "./tune_rows.js";

const KINDS = ["lora", "p_tune"];
const SIZES = { lora: [4, 8, 16, 32], p_tune: [8, 20, 50] };
export const usualWay = (kind = "lora") => ({ kind, size: kind === "lora" ? 8 : 20, pace: "usual", share: 100, isPatient: false, dropsLong: false });

export function TuneWay({ way, change, n_rows, hasValidation }) {
  return html`
    <fieldset class="big-choice ways"><legend>${t("tune.way")}</legend>
      ${KINDS.map((kind) => html`<label key=${kind}><input type="radio" name="kind" checked=${way.kind === kind} onChange=${() => change({ kind, size: usualWay(kind).size })} />
        <span><strong>${t(`tune.kind_${kind}`)}</strong><span class="help">${t(`tune.kind_${kind}Help`)}</span></span></label>`)}
    </fieldset>
    <${Slider} label=${t("tune.epochs")} help=${t("tune.epochsHelp", { steps: number(aboutSteps(n_rows, way.epochs)) })} value=${way.epochs} min=${1} max=${30} step=${1}
      onChange=${(epochs) => change({ epochs: Math.round(epochs) })} />
    <details><summary>${t("tune.more")}</summary>
      <${Choice} label=${t("tune.pace")} value=${way.pace} options=${["slow", "usual", "fast"].map((name) => [name, t(`tune.pace_${name}`)])} onChange=${(pace) => change({ pace })} />
      <${Choice} label=${t(`tune.size_${way.kind}`)} value=${way.size} options=${SIZES[way.kind].map((size) => [size, number(size)])} onChange=${(size) => change({ size })} />
      ${!hasValidation && html`<${Choice} label=${t("tune.share")} value=${way.share} options=${[0, 100, 200].map((share) => [share, share ? t("tune.sharePercent", { n: share / 10 }) : t("common.none")])} onChange=${(share) => change({ share })} />`}
      ${(hasValidation || way.share > 0) && html`<${Switch} label=${t("tune.patient")} help=${t("tune.patientHelp")} checked=${way.isPatient} onChange=${(isPatient) => change({ isPatient })} />`}
      <${Switch} label=${t("tune.drop")} help=${t("tune.dropHelp")} checked=${way.dropsLong} onChange=${(dropsLong) => change({ dropsLong })} />
    </details>`;
}
