// Text fields for Korean: Enter that ends a syllable submits once, with that syllable, and never twice.
//
// With a Korean input method the last syllable is always still being composed when Enter is pressed, so that Enter is
// remembered, and obeyed when the composition has ended. In Japanese and Chinese it chooses a candidate, and nothing else.
import { html, useEffect, useLayoutEffect, useRef } from "../html.js";

const HANGUL = /^[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\s]*$/;
const SAME_PRESS_MS = 50; // some systems send a second Enter for the same press

const isEnter = (event) => event.key === "Enter" || event.code === "Enter" || event.code === "NumpadEnter";

// Returns handlers for a field that submits by Enter ("enter"), or by Ctrl or Command with Enter ("ctrl").
export function useSubmit(onSubmit, by = "enter") {
  const state = useRef({ composed: "", isComposing: false, isWaiting: false, submitted: -Infinity, ended: -Infinity });
  const latest = useRef(onSubmit);
  latest.current = onSubmit;
  const asks = (event) => (by === "ctrl" ? event.ctrlKey || event.metaKey : !event.shiftKey && !event.altKey);
  const submit = (element, time) => {
    state.current.submitted = time;
    latest.current?.(element.value);
  };
  return {
    onCompositionStart: () => Object.assign(state.current, { isComposing: true, composed: "", isWaiting: false }),
    onCompositionUpdate: (event) => Object.assign(state.current, { composed: event.data ?? "" }),
    onCompositionEnd: (event) => {
      const { isWaiting } = state.current;
      Object.assign(state.current, { isComposing: false, isWaiting: false, ended: event.timeStamp });
      if (!isWaiting) return;
      const element = event.currentTarget;
      state.current.submitted = event.timeStamp;
      setTimeout(() => submit(element, performance.now())); // the field has the whole syllable then
    },
    onInput: () => Object.assign(state.current, { submitted: -Infinity }), // another text is another press
    onKeyDown: (event) => {
      if (event.key === "Escape") state.current.isWaiting = false;
      if (!onSubmit || !isEnter(event) || !asks(event)) return;
      const { isComposing, composed, submitted, ended } = state.current;
      if (isComposing || event.isComposing) {
        if (HANGUL.test(composed)) state.current.isWaiting = true;
        return;
      }
      // Safari ends the composition before this event.
      if (event.keyCode === 229 && !(event.timeStamp - ended < SAME_PRESS_MS && HANGUL.test(composed))) return;
      event.preventDefault();
      if (event.repeat || event.timeStamp - submitted < SAME_PRESS_MS) return;
      submit(event.currentTarget, event.timeStamp);
    },
  };
}

// Keeps the value of a field, but never writes into it during a composition, which would lose the syllable.
function useValue(element, value) {
  useLayoutEffect(() => {
    const field = element.current;
    if (field && field.value !== value && !field.dataset.composing) field.value = value;
  });
}

function composing(handlers) {
  return {
    ...handlers,
    onCompositionStart: (event) => {
      event.currentTarget.dataset.composing = "yes";
      handlers.onCompositionStart(event);
    },
    onCompositionEnd: (event) => {
      delete event.currentTarget.dataset.composing;
      handlers.onCompositionEnd(event);
    },
  };
}

// A line of text. onInput and onSubmit get the text.
export function TextInput({ value = "", onInput, onSubmit, inputRef, type = "text", ...rest }) {
  const own = useRef(null);
  const element = inputRef ?? own;
  useValue(element, value);
  const handlers = composing(useSubmit(onSubmit));
  return html`<input ref=${element} type=${type} ...${rest} ...${handlers}
    onInput=${(event) => { handlers.onInput(event); onInput?.(event.currentTarget.value); }} />`;
}

// Lines of text in a box that grows with them. Ctrl+Enter submits, or Enter where by="enter".
export function TextArea({ value = "", onInput, onSubmit, by = "ctrl", inputRef, rows = 2, ...rest }) {
  const own = useRef(null);
  const element = inputRef ?? own;
  useValue(element, value);
  useEffect(() => {
    const field = element.current;
    if (!field || CSS.supports("field-sizing", "content")) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  }, [value]);
  const handlers = composing(useSubmit(onSubmit, by));
  return html`<textarea ref=${element} rows=${rows} spellcheck=${false} ...${rest} ...${handlers}
    onInput=${(event) => { handlers.onInput(event); onInput?.(event.currentTarget.value); }}></textarea>`;
}
