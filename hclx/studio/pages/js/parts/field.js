// A label, what it labels, help, and what is wrong with it.
import { html, useRef, useState } from "../html.js";
import { TextInput } from "./text_input.js";

let n_ids = 0;
export function useId(prefix = "f") {
  const id = useRef(null);
  id.current ??= `${prefix}-${n_ids++}`;
  return id.current;
}

// `children` is a function of the attributes that the labelled element needs: {id, "aria-describedby", "aria-invalid"}.
export function Field({ label, help, error, children, isHidden }) {
  const id = useId();
  const notes = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`<div class="field">
    <label for=${id} class=${isHidden ? "hidden" : ""}>${label}</label>
    ${children({ id, "aria-describedby": notes, "aria-invalid": error ? "true" : undefined })}
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

// A slider and a number box for the same number; the box takes any number of the range.
export function Slider({ label, help, value, min, max, step, onChange, formatted }) {
  const id = useId("s");
  const [typed, setTyped] = useState(null);
  const digits = (String(step).split(".")[1] ?? "").length;
  const take = (text) => {
    const asked = Number(text);
    if (text === "" || !Number.isFinite(asked)) return;
    onChange(Number(Math.min(max, Math.max(min, asked)).toFixed(Math.max(digits, 3))));
  };
  return html`<div class="field slider">
    <label for=${id}>${label}</label>
    <input type="range" aria-label=${label} min=${min} max=${max} step=${step} value=${value}
      aria-valuetext=${formatted} onInput=${(event) => take(event.currentTarget.value)} />
    <${TextInput} id=${id} inputmode="decimal" class="number" value=${typed ?? String(value)}
      aria-describedby=${help ? `${id}-help` : undefined}
      onInput=${(text) => { setTyped(text); take(text); }} onBlur=${() => setTyped(null)} />
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

// One of a few, as buttons side by side. `options`: [[value, label]].
export function Choice({ label, value, options, onChange }) {
  const name = useId("c");
  return html`<fieldset class="choice">
    <legend>${label}</legend>
    ${options.map(([option, text]) => html`<label key=${option}>
      <input type="radio" name=${name} checked=${option === value} onChange=${() => onChange(option)} />
      <span>${text}</span>
    </label>`)}
  </fieldset>`;
}

export function Switch({ label, help, checked, onChange }) {
  const id = useId("w");
  return html`<div class="field switch">
    <input id=${id} type="checkbox" role="switch" checked=${checked} aria-describedby=${help ? `${id}-help` : undefined}
      onChange=${(event) => onChange(event.currentTarget.checked)} />
    <label for=${id}>${label}</label>
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}
