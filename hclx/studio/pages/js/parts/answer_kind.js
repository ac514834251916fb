// How the answer is made: written freely, chosen among given answers, or in a fixed shape.
import { html, useRef, useState } from "../html.js";
import { t } from "../words.js";
import { choicesOf, kindOf, withDocument, withKind } from "../content.js";
import { escaped, parseTemplate } from "../template.js";
import { Choice, Field } from "./field.js";
import { TextArea, TextInput } from "./text_input.js";
import { Icon } from "./icons.js";

const TYPES = ["string", "integer", "number", "boolean", "array", "enum"];
const plainText = (template) => (parseTemplate(template) ?? [template]).map((part) => (part.field ? `{${part.field}}` : part)).join("");

function Choices({ content, change }) {
  const choices = choicesOf(content.document), keys = Object.keys(choices);
  const [added, setAdded] = useState("");
  const areTold = Object.entries(choices).some(([key, template]) => plainText(template) !== key), [isOpen, setOpen] = useState(areTold);
  const put = (entries) => change(withDocument(content, { choices: Object.fromEntries(entries) }));
  const add = (text) => {
    const key = text.trim();
    if (key && !keys.includes(key)) put([...Object.entries(choices), [key, escaped(key)]]);
    setAdded("");
  };
  const entries = Object.entries(choices);
  return html`<div class="field">
    <ul class="choices">${entries.map(([key, template], index) => html`<li key=${index}>
      <strong>${key}</strong>
      ${(isOpen || areTold) && html`<${TextInput} aria-label=${t("kind.choiceText", { key })} value=${plainText(template)}
        onInput=${(text) => put(entries.map(([other, before]) => [other, other === key ? escaped(text) : before]))} />`}
      <button type="button" class="plain" aria-label=${t("kind.removeChoice", { key })} onClick=${() => put(entries.filter(([other]) => other !== key))}><${Icon} name="trash" /></button></li>`)}</ul>
    <div class="row"><${TextInput} class="grow" aria-label=${t("kind.newChoice")} placeholder=${t("kind.newChoice")} value=${added} onInput=${setAdded} onSubmit=${add} />
      <button type="button" onClick=${() => add(added)}>${t("common.add")}</button></div>
    <p class="help">${keys.length < 2 ? t("kind.twoChoices") : isOpen || areTold ? t("kind.choiceHelp") : html`<button type="button" class="plain" onClick=${() => setOpen(true)}>${t("kind.choiceTexts")}</button>`}</p>
  </div>`;
}

const typeOf = (schema) => (schema.enum ? "enum" : schema.type ?? "string");
function schemaOf(type, before = {}) {
  if (type === "enum") return { enum: before.enum ?? [] };
  if (type === "array") return { type, items: { type: "string" }, maxItems: 10 };
  return type === "string" ? { type, maxLength: 200 } : { type };
}

// An object of named fields; whatever else a schema has is edited as JSON.
function Shape({ content, change }) {
  const schema = content.document.grammar.json_schema;
  const [typed, setTyped] = useState(null), [error, setError] = useState(null), [added, setAdded] = useState("");
  const put = (next) => change(withDocument(content, { grammar: { json_schema: next } }));
  const isSimple = schema && schema.type === "object" && Object.keys(schema).every((key) => ["type", "properties", "required", "additionalProperties"].includes(key));
  const properties = schema?.properties ?? {};
  const withProperties = (next) => put({ type: "object", properties: next, required: Object.keys(next), additionalProperties: false });
  const add = (name) => {
    if (name.trim() && !(name.trim() in properties)) withProperties({ ...properties, [name.trim()]: schemaOf("string") });
    setAdded("");
  };
  const asJson = (text) => {
    setTyped(text);
    try {
      const parsed = JSON.parse(text);
      if (!parsed || typeof parsed !== "object") throw new Error(t("kind.noObject"));
      setError(null);
      put(parsed);
    } catch (failure) {
      setError(failure.message);
    }
  };
  const entries = Object.entries(properties);
  return html`<div class="field">
    ${isSimple && html`<ul class="choices">${entries.map(([name, part]) => html`<li key=${name}>
        <strong>${name}</strong>
        <select aria-label=${t("kind.typeOf", { name })} onChange=${(event) => withProperties({ ...properties, [name]: schemaOf(event.currentTarget.value, part) })}>
          ${TYPES.map((type) => html`<option key=${type} value=${type} selected=${type === typeOf(part)}>${t(`kind.type_${type}`)}</option>`)}</select>
        ${part.enum && html`<${TextInput} aria-label=${t("kind.values", { name })} placeholder=${t("kind.valuesHelp")} value=${part.enum.join(", ")}
          onInput=${(text) => withProperties({ ...properties, [name]: { enum: text.split(",").map((value) => value.trim()).filter(Boolean) } })} />`}
        <button type="button" class="plain" aria-label=${t("kind.removeField", { name })}
          onClick=${() => withProperties(Object.fromEntries(entries.filter(([other]) => other !== name)))}><${Icon} name="trash" /></button></li>`)}</ul>
      <div class="row"><${TextInput} class="grow" aria-label=${t("kind.newField")} placeholder=${t("kind.newField")} value=${added} onInput=${setAdded} onSubmit=${add} />
        <button type="button" onClick=${() => add(added)}>${t("common.add")}</button></div>`}
    <details><summary>${t("kind.asJson")}</summary>
      <${Field} label=${t("kind.schema")} error=${error}>${(attributes) => html`<${TextArea} ...${attributes} class="mono" rows=${6}
        value=${typed ?? JSON.stringify(schema, null, 2)} onInput=${asJson} onBlur=${() => !error && setTyped(null)} />`}</${Field}></details>
    <p class="help">${t("kind.shapeHelp")}</p>
  </div>`;
}

function Pattern({ content, change }) {
  const [[kind, value]] = Object.entries(content.document.grammar);
  const text = Array.isArray(value) ? value.join("\n") : value;
  const read = (typed) => (kind === "choices" ? typed.split("\n").filter(Boolean) : typed);
  return html`<${Field} label=${t("kind.pattern", { kind })}>${(attributes) => html`<${TextArea} ...${attributes} class="mono" value=${text}
    onInput=${(typed) => change(withDocument(content, { grammar: { [kind]: read(typed) } }))} />`}</${Field}>`;
}

// The editor of how an answer is made. What another kind had comes back when it is chosen again.
export function AnswerKind({ content, change }) {
  const { document } = content, kind = kindOf(document), left = useRef({});
  const choose = (next) => {
    left.current[kind] = { choices: document.choices, sampling: document.sampling, stop: document.stop, grammar: document.grammar };
    change(withKind(content, next, left.current[next] ?? {}));
  };
  return html`
    <${Choice} label=${t("kind.title")} value=${kind} options=${["write", "choose", "shape"].map((name) => [name, t(`kind.${name}`)])} onChange=${choose} />
    ${kind === "choose" && html`<${Choices} content=${content} change=${change} />`}
    ${kind === "shape" && (document.grammar.json_schema !== undefined ? html`<${Shape} content=${content} change=${change} />` : html`<${Pattern} content=${content} change=${change} />`)}`;
}
