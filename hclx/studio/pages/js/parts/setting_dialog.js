// Chooses what a test compares with: a version, another model, another value of a knob, or an earlier run.
import { html, useState } from "../html.js";
import { date, t } from "../words.js";
import { RANGES, kindOf, knob } from "../content.js";
import { isChat } from "../test_settings.js";
import { useSession } from "../session.js";
import { Dialog } from "./dialog.js";
import { Choice, Field, Slider } from "./field.js";
import { ModelField } from "./knobs.js";

function VersionField({ versions, value, onChange }) {
  return html`<${Field} label=${t("test.version")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(Number(event.currentTarget.value))}>
    ${versions.map(({ number, note }) => html`<option key=${number} value=${number} selected=${number === value}>${t("test.versionName", { number })}${note && ` · ${note}`}</option>`)}</select>`}</${Field}>`;
}

// A value to begin with that is not the prompt's own.
const otherValue = (content, name) => {
  const [min, max] = RANGES[name], value = knob(content, name);
  if (name === "temperature") return value > 0 ? 0 : 0.7;
  return value === max ? min : max;
};

function KnobFields({ content, value: [name, value], onChange }) {
  const [min, max, step] = RANGES[name];
  return html`<${Field} label=${t("test.knob")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange([event.currentTarget.value, otherValue(content, event.currentTarget.value)])}>
      ${Object.keys(RANGES).map((other) => html`<option key=${other} value=${other} selected=${other === name}>${t(`knobs.${other}`)}</option>`)}</select>`}</${Field}>
    <${Slider} label=${t(`knobs.${name}`)} help=${t(`knobs.${name}Help`)} value=${value} min=${min} max=${max} step=${step} onChange=${(next) => onChange([name, next])} />`;
}

function RunField({ runs, value, onChange }) {
  return html`<${Field} label=${t("test.earlier")}>${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(event.currentTarget.value)}>
    ${runs.map((run) => html`<option key=${run.id} value=${run.id} selected=${run.id === value}>${run.title} · ${date(run.created / 1000)}</option>`)}</select>`}</${Field}>`;
}

// versions: of the prompt; runs: earlier ones. onChoose gets a setting without its id.
export function SettingDialog({ content, versions, runs, onChoose, onClose }) {
  const { models } = useSession();
  const kinds = [versions.length && "version", models.length > 1 && "model", kindOf(content.document) !== "choose" && !isChat(content) && "knob", runs.length && "earlier"].filter(Boolean);
  const [kind, setKind] = useState(kinds[0] ?? null);
  const [version, setVersion] = useState(versions[0]?.number), [run, setRun] = useState(runs[0]?.id);
  const [model, setModel] = useState(models.find(({ name }) => name !== (content.model ?? models[0].name))?.name);
  const [turned, setTurned] = useState(["temperature", otherValue(content, "temperature")]);
  const isSame = (kind === "knob" && turned[1] === knob(content, turned[0])) || (kind === "model" && model === (content.model ?? models[0].name));
  const chosen = {
    version: { base: version }, model: { base: "draft", model }, knob: { base: "draft", knob: turned }, earlier: { run, isEarlier: true },
  }[kind];
  return html`<${Dialog} title=${t("test.compareWith")} onClose=${onClose}>
    ${!kinds.length && html`<p>${t("test.nothingToCompare")}</p>`}
    ${kinds.length > 0 && html`<${Choice} label=${t("test.compareKind")} value=${kind} options=${kinds.map((name) => [name, t(`test.kind_${name}`)])} onChange=${setKind} />`}
    ${kind === "version" && html`<${VersionField} versions=${versions} value=${version} onChange=${setVersion} />`}
    ${kind === "model" && html`<${ModelField} value=${model} onChange=${setModel} />`}
    ${kind === "knob" && html`<${KnobFields} content=${content} value=${turned} onChange=${setTurned} />`}
    ${kind === "earlier" && html`<${RunField} runs=${runs} value=${run} onChange=${setRun} />`}
    ${isSame && html`<p class="help" role="status">${t("test.sameSetting")}</p>`}
    <div class="row end"><button type="button" onClick=${onClose}>${t("common.cancel")}</button>
      ${chosen && html`<button type="button" class="primary" disabled=${isSame} onClick=${() => onChoose(chosen)}>${t("test.compare")}</button>`}</div>
  </${Dialog}>`;
}

// The name of a setting for people.
export function titleOf(setting, runs) {
  if (setting.isEarlier) {
    const run = runs?.find(({ id }) => id === setting.run);
    return run ? t("test.earlierName", { title: run.title, date: date(run.created / 1000) }) : t("test.earlier");
  }
  const base = setting.base === "draft" ? t("test.draft") : t("test.versionName", { number: setting.base });
  const other = setting.model ?? (setting.knob && `${t(`knobs.${setting.knob[0]}`).replace(/ \(.*/, "")} ${setting.knob[1]}`);
  return other ? `${base} · ${other}` : base;
}
