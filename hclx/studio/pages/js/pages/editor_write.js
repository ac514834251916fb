// Writing a prompt and trying it: as blocks, as one free text, or as a chat.
import { html, useEffect, useRef, useState } from "../html.js";
import { api } from "../api.js";
import { number, t } from "../words.js";
import { useSession } from "../session.js";
import {
  answerField, asText, exampleColumns, freeText, inputFields, itemOf, kindOf, problemOf, simpleInput, withDocument, withoutBlankExamples, withFreeText, withLabel,
} from "../content.js";
import { useRun } from "../run.js";
import { AnswerKind } from "../parts/answer_kind.js";
import { ChatView } from "../parts/chat_view.js";
import { confirmed } from "../parts/dialog.js";
import { Examples } from "../parts/examples.js";
import { Choice, Field } from "../parts/field.js";
import { Icon } from "../parts/icons.js";
import { Knobs } from "../parts/knobs.js";
import { notify, notifyError } from "../parts/notices.js";
import { Result } from "../parts/result.js";
import { TextArea, TextInput } from "../parts/text_input.js";

const PREVIEW_MS = 500;

// What the model would read, asked for a moment after the last change: {text, tokens, room, warnings, error}.
function usePreview(content, item) {
  const [preview, setPreview] = useState(null), asked = JSON.stringify([{ ...content, item: null }, item]);
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(() => api.post("api/preview", { content, item }, { signal: control.signal }).then(setPreview, () => {}), PREVIEW_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [asked]);
  return preview;
}

const isTooLong = ({ code }) => code === "context_length_exceeded";

function PreviewNotes({ preview, document }) {
  const problem = problemOf(document);
  if (problem) return html`<p class="warning" role="status">${t("write.notYet")} ${t(`problems.${problem.name}`, { row: problem.row })}</p>`;
  if (!preview) return null;
  const { error, warnings = [], tokens, room } = preview;
  return html`<div class="preview-notes" aria-live="polite">
    ${error ? html`<p class="error">${t("write.notYet")} ${isTooLong(error) ? t("problems.tooLong") : error.message}</p>`
      : html`<p class="help">${t("write.tokens", { tokens: number(tokens), room: number(room) })}</p>`}
    ${warnings.map((warning) => html`<p key=${warning.code} class="warning">${t(`warnings.${warning.code}`) === `warnings.${warning.code}` ? warning.message : t(`warnings.${warning.code}`)}</p>`)}
  </div>`;
}

function RunBar({ running, onRun, isWritten, isReady, undoLabel, redoLabel }) {
  const { isRunning, stop, undo, redo, canUndo, canRedo, run } = running;
  return html`<div class="run-bar row">
    ${isRunning ? html`<button type="button" class="primary" onClick=${stop}><${Icon} name="stop" />${t("write.stop")}</button>`
      : html`<button type="button" class="primary" disabled=${!isReady} onClick=${onRun}><${Icon} name="play" />${run && isWritten ? t("write.again") : t("write.run")}</button>`}
    <button type="button" disabled=${!canUndo} onClick=${undo} title="Ctrl+Z"><${Icon} name="undo" />${undoLabel ?? t("write.earlier")}</button>
    <button type="button" disabled=${!canRedo} onClick=${redo} title="Ctrl+Y"><${Icon} name="redo" />${redoLabel ?? t("write.later")}</button>
    <span class="help">${t("write.runHelp")}</span>
  </div>`;
}

// The template of the input: a label and a field, or for more the whole template.
function InputTemplate({ content, change }) {
  const simple = simpleInput(content.document), [isOpen, setOpen] = useState(!simple);
  const { document } = content;
  return html`<details open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>${t("write.template")}</summary>
    <p class="help">${t("write.templateHelp")}</p>
    ${simple && html`<${Field} label=${t("write.label")} help=${t("write.labelHelp")}>${(attributes) => html`<${TextInput} ...${attributes}
      value=${simple.label} onInput=${(label) => change(withLabel(content, label))} />`}</${Field}>`}
    <${Field} label=${t("write.inputTemplate")}>${(attributes) => html`<${TextArea} ...${attributes} class="mono" value=${document.input}
      onInput=${(input) => change(withDocument(content, { input }))} />`}</${Field}>
    <${Field} label=${t("write.answerTemplate")}>${(attributes) => html`<${TextArea} ...${attributes} class="mono" rows=${1} value=${document.answer}
      onInput=${(answer) => change(withDocument(content, { answer }))} />`}</${Field}>
  </details>`;
}

const TURN_KINDS = ["once", "rolling", "several"];

function Blocks({ draft, preview, running, turns, setTurns }) {
  const { content, change } = draft, { document } = content, runnable = withoutBlankExamples(content);
  const fields = inputFields(document), item = content.item ?? {}, field = answerField(document);
  const [turnKind, setTurnKind] = useState(turns.length ? "rolling" : "once");
  const isWritten = kindOf(document) === "write";
  const setItem = (name, text) => change((latest) => ({ ...latest, item: { ...latest.item, [name]: text } }));
  const withTurns = () => {
    const examples = [...(runnable.document.examples ?? []), ...turns];
    return withDocument(content, { examples: examples.length ? examples : undefined });
  };
  const whole = () => itemOf(content);
  const start = async (options) => {
    if (problemOf(runnable.document)) return;
    const n = options?.written ? 1 : turnKind === "several" ? Math.max(3, content.n ?? 1) : content.n; // one text alone is gone on with
    const asked = { ...withTurns(), n };
    const run = await running.start(asked, whole(), options);
    const [candidate] = run.candidates;
    if (turnKind === "rolling" && run.state === "done" && isWritten) {
      setTurns([...turns, { ...whole(), [field]: candidate.text.trim() }]);
      change((latest) => ({ ...latest, item: {} }));
    }
  };
  const { run, isRunning } = running;
  const mayGoOn = isWritten && !(turnKind === "rolling" && run?.state === "done"); // that text is a turn already
  const goOn = (candidate) => start({ written: candidate.text, keepTokens: candidate.tokens });
  const pick = (candidate, index, text) => {
    const kept = candidate.tokens.slice(0, index);
    const before = candidate.text.slice(0, candidate.text.length - candidate.tokens.slice(index).map((token) => token.text).join("").length);
    start({ written: before + text, keepTokens: [...kept, { ...candidate.tokens[index], text, top: candidate.tokens[index].top, logprob: candidate.tokens[index].top.find((entry) => entry.text === text)?.logprob ?? null }] });
  };
  const asExample = (candidate) => {
    const answer = candidate.scores ? candidate.end.answer : candidate.text.trim();
    const row = Object.fromEntries(exampleColumns(document).map((name) => [name, name === field ? answer : run.item[name] ?? ""]));
    change((latest) => withDocument(latest, { examples: [...(latest.document.examples ?? []), row] }));
    notify(t("write.exampleAdded"));
  };
  return html`
    <section class="card">
      <${Field} label=${t("write.directive")} help=${t("write.directiveHelp")}>${(attributes) => html`<${TextArea} ...${attributes} rows=${3}
        placeholder=${t("write.directivePlaceholder")} value=${document.directive ?? ""} onSubmit=${() => start()}
        onInput=${(directive) => change(withDocument(content, { directive: directive || undefined }))} />`}</${Field}>
      <${AnswerKind} content=${content} change=${change} />
      <${InputTemplate} content=${content} change=${change} />
    </section>
    <${Examples} content=${content} change=${change} promptId=${draft.id} />
    <section class="card" aria-label=${t("write.input")}>
      <h2>${t("write.input")}</h2>
      ${isWritten && html`<${Choice} label=${t("write.turns")} value=${turnKind} options=${TURN_KINDS.map((name) => [name, t(`write.turns_${name}`)])}
        onChange=${(kind) => { setTurnKind(kind); if (kind !== "rolling") setTurns([]); }} />`}
      ${turns.map((turn, index) => html`<div class="turn" key=${index}>${fields.map((name) => html`<p key=${name}><strong>${name}</strong> ${turn[name]}</p>`)}<p class="answer">${turn[field]}</p></div>`)}
      ${fields.length === 0 && html`<p class="help">${t("write.noFields")}</p>`}
      ${fields.map((name) => html`<${Field} key=${name} label=${name}>${(attributes) => html`<${TextArea} ...${attributes} value=${item[name] ?? ""}
        onInput=${(text) => setItem(name, text)} onSubmit=${() => start()} />`}</${Field}>`)}
      <${PreviewNotes} preview=${preview} document=${withoutBlankExamples(content).document} />
      <${RunBar} running=${running} onRun=${() => start()} isWritten=${isWritten} isReady=${!problemOf(runnable.document)} />
      ${run && html`<${Result} run=${run} isRunning=${isRunning} isShape=${kindOf(document) === "shape"} onPick=${mayGoOn && pick} onContinue=${mayGoOn && goOn} onExample=${asExample} onAgain=${() => start()} />`}
    </section>`;
}

// One text that the model goes on with; what it writes becomes part of the text, and undo takes it out again.
function FreeText({ draft, preview, running }) {
  const { content, change } = draft, { isRunning, run } = running, text = freeText(content);
  const [before, setBefore] = useState(null), [history, setHistory] = useState([]), [undone, setUndone] = useState([]);
  const write = async (options = {}) => {
    setBefore(text);
    const result = await running.start(content, {}, options);
    const written = result.candidates[0]?.text ?? "";
    const restart = content.document.separator ?? "\n\n";
    if (written) {
      setHistory([...history, text]);
      setUndone([]);
      change((latest) => withFreeText(latest, `${text}${startOf(content)}${written}${result.state === "done" ? restart : ""}`));
    }
    setBefore(null);
  };
  const undo = () => {
    setUndone([text, ...undone]);
    change((latest) => withFreeText(latest, history.at(-1)));
    setHistory(history.slice(0, -1));
  };
  const redo = () => {
    setHistory([...history, text]);
    change((latest) => withFreeText(latest, undone[0]));
    setUndone(undone.slice(1));
  };
  const own = { ...running, undo, redo, canUndo: history.length > 0 && !isRunning, canRedo: undone.length > 0 && !isRunning };
  const pick = (candidate, index, picked) => {
    const joined = candidate.tokens.slice(index).map((token) => token.text).join("");
    const base = history.at(-1) ?? text;
    change((latest) => withFreeText(latest, base + startOf(content) + candidate.text.slice(0, candidate.text.length - joined.length) + picked));
    setHistory([...history, text]);
    running.clear();
  };
  return html`<section class="card">
    <${Field} label=${t("write.freeText")} help=${t("write.freeTextHelp")}>${(attributes) => html`<${TextArea} ...${attributes} class="free-text" rows=${14}
      value=${isRunning && before !== null ? before + startOf(content) + (run?.candidates[0]?.text ?? "") : text} readonly=${isRunning}
      onInput=${(typed) => change(withFreeText(content, typed))} onSubmit=${() => write()} />`}</${Field}>
    <${PreviewNotes} preview=${preview} document=${withoutBlankExamples(content).document} />
    <${RunBar} running=${own} onRun=${() => write()} isWritten=${false} isReady undoLabel=${t("write.undo")} redoLabel=${t("write.redo")} />
    ${run && html`<details open><summary>${t("write.lastText")}</summary><${Result} run=${run} isRunning=${isRunning} onPick=${pick} onContinue=${() => write()} onAgain=${() => write()} /></details>`}
  </section>`;
}
const startOf = (content) => (content.document.input ?? "").replace(/\{\{/g, "{").replace(/\}\}/g, "}");

const turnsKey = (id) => `hclx-turns-${id}`;

// The turns of a prompt that goes on, which this tab keeps over a reload: [turns, setTurns].
function useTurns(id) {
  const [turns, setTurns] = useState(() => {
    try {
      return JSON.parse(sessionStorage.getItem(turnsKey(id))) ?? [];
    } catch {
      return [];
    }
  });
  const put = (next) => {
    setTurns(next);
    try {
      if (next.length) sessionStorage.setItem(turnsKey(id), JSON.stringify(next));
      else sessionStorage.removeItem(turnsKey(id));
    } catch { /* they then hold for this page */ }
  };
  return [turns, put];
}

export default function EditorWrite({ draft }) {
  const { content, change } = draft, running = useRun(), [turns, setTurns] = useTurns(draft.id), { has_chat } = useSession();
  const item = content.view === "text" || content.view === "chat" ? {} : itemOf(content);
  const preview = usePreview(withoutBlankExamples(content), item), box = useRef(null), view = content.view ?? "blocks";
  const choose = async (next) => {
    if (next === "text" && view === "blocks") {
      try {
        const { text, error } = await api.post("api/preview", { content, item });
        if (error) throw new Error(error.message);
        if (await confirmed(t("write.toText"), { action: t("write.toTextAction") })) change(asText(content, text));
      } catch (error) {
        notifyError(error);
      }
    } else change({ ...content, view: next });
  };
  const onKey = (event) => {
    const isText = /^(input|textarea|select)$/i.test(event.target.tagName);
    if (isText || !(event.ctrlKey || event.metaKey)) return;
    if (event.key === "z" && running.canUndo) running.undo();
    else if (event.key === "y" && running.canRedo) running.redo();
    else return;
    event.preventDefault();
  };
  const views = ["blocks", "text", ...(has_chat ? ["chat"] : [])];
  return html`<div class="write" ref=${box} onKeyDown=${onKey}>
    <div class="work">
      <${Choice} label=${t("write.view")} value=${view} options=${views.map((name) => [name, t(`write.view_${name}`)])} onChange=${choose} />
      ${view === "blocks" && html`<${Blocks} draft=${draft} preview=${preview} running=${running} turns=${turns} setTurns=${setTurns} />`}
      ${view === "text" && html`<${FreeText} draft=${draft} preview=${preview} running=${running} />`}
      ${view === "chat" && html`<${ChatView} draft=${draft} running=${running} />`}
    </div>
    <aside class="card settings"><${Knobs} content=${content} change=${change} />
      ${preview?.text && html`<details><summary>${t("write.whole")}</summary><pre class="whole">${preview.text}</pre></details>`}</aside>
  </div>`;
}
