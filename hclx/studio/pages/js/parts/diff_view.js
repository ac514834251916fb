// What differs between two prompts, for people: what was taken out, and what was put in.
import { html, useMemo } from "../html.js";
import { number, t } from "../words.js";
import { changedParts, lineDiff, rawJson } from "../diff.js";
import { label } from "./content_view.js";

const AROUND = 2; // lines that are the same and shown beside those that differ
const PART_WORDS = {
  title: "editor.title", directive: "write.directive", input: "write.inputTemplate", answer: "write.answerTemplate", separator: "knobs.restart",
  grammar: "kind.shape", stop: "knobs.stop", model: "knobs.model", n: "knobs.n", logprobs: "knobs.logprobs", view: "write.view", block: "knobs.filter",
  system: "chat.system", turns: "chat.title", examples: "examples.title",
};

// The name of a part as the editor has it.
function nameOf(part) {
  const [kind, ...rest] = part.split(" "), name = rest.join(" ");
  if (kind === "knob") return label(`knobs.${name}`, name);
  if (kind === "choice") return t("versions.choice", { key: name });
  return PART_WORDS[part] ? t(PART_WORDS[part]) : label(`versions.part_${part}`, part);
}

// A run of equal lines in the middle is folded into a count.
function folded(steps) {
  const near = steps.map((_, index) => steps.slice(Math.max(0, index - AROUND), index + AROUND + 1).some(({ kind }) => kind !== "same"));
  const rows = [];
  steps.forEach((step, index) => {
    if (near[index]) rows.push(step);
    else if (rows.at(-1)?.kind === "folded") rows.at(-1).n++;
    else rows.push({ kind: "folded", n: 1 });
  });
  return rows;
}

const SIGNS = { removed: "−", added: "+", same: " " };
const WORDS = { removed: "versions.removed", added: "versions.added" };

function Line({ step }) {
  if (step.kind === "folded") return html`<div class="line folded">${t("versions.folded", { n: number(step.n) })}</div>`;
  const Tag = { removed: "del", added: "ins", same: "span" }[step.kind];
  return html`<div class=${`line ${step.kind}`}><span class="sign" aria-hidden="true">${SIGNS[step.kind]}</span>
    ${WORDS[step.kind] && html`<span class="hidden">${t(WORDS[step.kind])} </span>`}<${Tag}>${step.entry || " "}</${Tag}></div>`;
}

export function TextDiff({ before, after }) {
  const steps = useMemo(() => {
    if (!before || !after) return [...(before ? [["removed", before]] : []), ...(after ? [["added", after]] : [])].flatMap(([kind, text]) => text.split("\n").map((entry) => ({ kind, entry })));
    return folded(lineDiff(before, after));
  }, [before, after]);
  return html`<div class="diff">${steps.map((step, index) => html`<${Line} key=${index} step=${step} />`)}</div>`;
}

function RowChange({ change }) {
  const { kind, row, before, after } = change, names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return html`<li><strong>${t(`versions.row_${kind}`, { row: number(row) })}</strong>
    ${names.filter((name) => before?.[name] !== after?.[name]).map((name) => html`<div class="row-field" key=${name}><span class="help">${name}</span>
      <${TextDiff} before=${before?.[name] ?? ""} after=${after?.[name] ?? ""} /></div>`)}</li>`;
}

// before, after: {title, content}.
export function DiffView({ before, after }) {
  const changes = useMemo(() => changedParts(before, after), [before, after]);
  return html`<div class="diff-view">
    ${changes.length === 0 && html`<p>${t("versions.same")}</p>`}
    ${changes.map((change) => html`<section key=${change.name}><h3>${nameOf(change.name)}</h3>
      ${change.kind === "rows" ? html`<ul class="rows">${change.rows.map((row, index) => html`<${RowChange} key=${index} change=${row} />`)}</ul>`
        : html`<${TextDiff} before=${change.before} after=${change.after} />`}</section>`)}
    ${changes.length > 0 && html`<details><summary>${t("versions.raw")}</summary><${TextDiff} before=${rawJson(before)} after=${rawJson(after)} /></details>`}
  </div>`;
}
