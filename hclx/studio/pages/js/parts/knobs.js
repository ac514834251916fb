// The settings of a prompt: a single slider, or every knob with a slider and a number box.
import { html, useState } from "../html.js";
import { t } from "../words.js";
import { useSession } from "../session.js";
import {
  RANGES, creativity, kindOf, knob, startText, withCreativity, withDocument, withKnob, withStartText,
} from "../content.js";
import { Choice, Field, Slider, Switch } from "./field.js";
import { FilterChoice } from "./filter_choice.js";
import { TextInput } from "./text_input.js";

const MODE = "hclx-knobs";
const LENGTHS = [["short", 40], ["middle", 120], ["long", 400]];
const keptMode = () => {
  try {
    return localStorage.getItem(MODE) ?? "simple";
  } catch {
    return "simple";
  }
};

// Line breaks are written as \n in a box of one line.
const shownLine = (text) => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\t/g, "\\t");
const readLine = (text) => text.replace(/\\(.)/g, (_, letter) => ({ n: "\n", t: "\t", "\\": "\\" })[letter] ?? `\\${letter}`);

function EscapedInput({ value, onInput, ...rest }) {
  const [typed, setTyped] = useState(null);
  return html`<${TextInput} class="mono" ...${rest} value=${typed ?? shownLine(value)}
    onInput=${(text) => { setTyped(text); onInput(readLine(text)); }} onBlur=${() => setTyped(null)} />`;
}

function StopTexts({ content, change }) {
  const stop = content.document.stop ?? [];
  const put = (list) => change(withDocument(content, { stop: list.length ? list : undefined }));
  const [typed, setTyped] = useState("");
  const add = (text) => {
    const line = readLine(text);
    if (line && !stop.includes(line)) put([...stop, line]);
    setTyped("");
  };
  return html`<${Field} label=${t("knobs.stop")} help=${t("knobs.stopHelp")}>${(attributes) => html`
    <div class="chips">${stop.map((text) => html`<span class="chip" key=${text}><code>${shownLine(text)}</code>
      <button type="button" class="plain" aria-label=${t("knobs.removeStop", { text: shownLine(text) })} onClick=${() => put(stop.filter((other) => other !== text))}>✕</button></span>`)}</div>
    <div class="row"><${TextInput} ...${attributes} class="mono grow" value=${typed} onInput=${setTyped} onSubmit=${add} />
      <button type="button" onClick=${() => add(typed)}>${t("common.add")}</button></div>`}</${Field}>`;
}

export function ModelField({ value, onChange, label }) {
  const { models } = useSession();
  const names = models.map((model) => model.name);
  const known = value && !names.includes(value) ? [value, ...names] : names;
  return html`<${Field} label=${label ?? t("knobs.model")} error=${value && !names.includes(value) ? t("knobs.modelGone") : null}>
    ${(attributes) => html`<select ...${attributes} onChange=${(event) => onChange(event.currentTarget.value)}>
      ${known.map((name) => html`<option key=${name} value=${name} selected=${name === (value ?? names[0])}>${name}</option>`)}</select>`}</${Field}>`;
}

function Simple({ content, change }) {
  const most = knob(content, "max_tokens");
  const length = LENGTHS.find(([, tokens]) => tokens === most)?.[0] ?? null;
  const level = creativity(content);
  return html`
    <div class="field"><label for="creativity">${t("knobs.creativity")}</label>
      <input id="creativity" type="range" min="0" max="10" step="1" value=${level} aria-valuetext=${t("knobs.level", { level })}
        onInput=${(event) => change(withCreativity(content, Number(event.currentTarget.value)))} />
      <div class="row ends"><span class="help">${t("knobs.consistent")}</span><span class="help">${t("knobs.creative")}</span></div></div>
    <${Choice} label=${t("knobs.length")} value=${length} options=${LENGTHS.map(([name]) => [name, t(`knobs.${name}`)])}
      onChange=${(name) => change(withKnob(content, "max_tokens", LENGTHS.find(([other]) => other === name)[1]))} />`;
}

function Every({ content, change }) {
  return html`${Object.entries(RANGES).map(([name, [min, max, step]]) => html`<${Slider} key=${name} label=${t(`knobs.${name}`)} help=${t(`knobs.${name}Help`)}
    value=${knob(content, name)} min=${min} max=${max} step=${step} onChange=${(value) => change(withKnob(content, name, value))} />`)}`;
}

// content and change are those of a draft.
export function Knobs({ content, change }) {
  const [mode, setMode] = useState(keptMode());
  const choose = (next) => {
    setMode(next);
    try {
      localStorage.setItem(MODE, next);
    } catch { /* it then holds for this page */ }
  };
  const { document } = content, isWritten = kindOf(document) !== "choose", isEvery = mode === "every";
  return html`<section class="knobs" aria-label=${t("knobs.title")}>
    <${Choice} label=${t("knobs.mode")} value=${mode} options=${[["simple", t("knobs.simple")], ["every", t("knobs.every")]]} onChange=${choose} />
    <${ModelField} value=${content.model} onChange=${(model) => change({ ...content, model })} />
    ${isWritten && html`<${isEvery ? Every : Simple} content=${content} change=${change} />`}
    ${isWritten && html`<${Slider} label=${t("knobs.n")} help=${t("knobs.nHelp")} value=${content.n ?? 1} min=${1} max=${4} step=${1}
      onChange=${(n) => change({ ...content, n: Math.round(n) })} />`}
    ${isWritten && isEvery && html`<${StopTexts} content=${content} change=${change} />`}
    ${isEvery && content.view !== "chat" && html`
      <${Field} label=${t("knobs.start")} help=${t("knobs.startHelp")}>${(attributes) => html`<${EscapedInput} ...${attributes}
        value=${startText(document)} onInput=${(text) => change(withStartText(content, text))} />`}</${Field}>
      <${Field} label=${t("knobs.restart")} help=${t("knobs.restartHelp")}>${(attributes) => html`<${EscapedInput} ...${attributes}
        value=${document.separator ?? "\n\n"} onInput=${(separator) => change(withDocument(content, { separator }))} />`}</${Field}>`}
    ${isWritten && html`<${Switch} label=${t("knobs.logprobs")} help=${t("knobs.logprobsHelp")} checked=${(content.logprobs ?? 5) > 0}
      onChange=${(isOn) => change({ ...content, logprobs: isOn ? 5 : 0 })} />`}
    ${isWritten && html`<${FilterChoice} value=${content.block} onChange=${(block) => change({ ...content, block })} />`}
  </section>`;
}
