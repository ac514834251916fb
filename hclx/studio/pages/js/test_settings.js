// What a test compares: settings, each of them the draft, a version or an earlier run, with another model or knob. Pure.
//
// A setting is {id, base: "draft" | number of a version, model?, knob?: [name, value], run?: id of its answers}, or
// {id, run, isEarlier: true} for the answers of an earlier run.
import { answerField, choicesOf, exampleColumns, hasChoices, inputFields, withKnob } from "./content.js";
import { agreement, isRight } from "./evaluation.js";
import { cellKey, markOf } from "./test_store.js";

export const MOST_SETTINGS = 4;
export const MOST_REPEATS = 10;
export const CHAT_FIELD = "message";

export const newTest = () => ({ settings: [{ id: "draft", base: "draft" }], bound: {}, label: null, rule: "equal", repeats: 1 });

// What is run: a content without what only its pages need.
export const runnable = ({ item, table, n, logprobs, ...content }) => ({ ...content, n: 1, logprobs: 0 });
export function contentOf(setting, base) {
  let content = base;
  if (setting.model) content = { ...content, model: setting.model };
  if (setting.knob) content = withKnob(content, ...setting.knob);
  return runnable(content);
}
// Tells contents apart that may answer differently; names and views are for people.
export function markOfContent({ document, model, block, view, chat }) {
  const { name, description, source, ...read } = document;
  return markOf([read, model ?? null, block ?? null, view === "chat" ? chat ?? {} : null]);
}

export const isChat = (content) => content.view === "chat";
export const fieldsOfContent = (content) => (isChat(content) ? [CHAT_FIELD] : inputFields(content.document));
export const choiceKeys = (content) => (!isChat(content) && hasChoices(content.document) ? Object.keys(choicesOf(content.document)) : null);

// The column of each field, and of the gold answer ("": none): those that were chosen, or else of the same name.
const LABELS = ["정답", "라벨", "label", "gold", "answer", "expected"];
export function bindingOf(test, content, columns) {
  const fields = fieldsOfContent(content);
  const chosen = (name) => (columns.includes(test.bound[name]) ? test.bound[name] : null);
  const bound = Object.fromEntries(fields.map((name) => [name, chosen(name) ?? (columns.includes(name) ? name : "")]));
  const taken = Object.values(bound);
  const likely = [...LABELS, answerField(content.document)].find((name) => columns.includes(name) && !taken.includes(name));
  const label = test.label !== null && (test.label === "" || columns.includes(test.label)) ? test.label : likely ?? "";
  return { bound, label, missing: fields.filter((name) => !bound[name]) };
}
export const itemOf = (row, { bound }) => Object.fromEntries(Object.entries(bound).map(([field, column]) => [field, row[column] ?? ""]));
export const isEmpty = (item) => Object.values(item).every((text) => !text.trim());

// What a cell answered: what was read out of the text, or else the text itself; null where it has failed.
export function answerOfCell(cell) {
  if (!cell || cell.error) return null;
  if (cell.answer === null || cell.answer === undefined) return cell.text?.trim() ?? null;
  return typeof cell.answer === "string" ? cell.answer : JSON.stringify(cell.answer);
}

// Everything that a table shows of a row's answers by a setting. `right` is null without a gold answer or an answer.
const NONE = { cell: undefined, all: [], answer: null, right: null, error: null, stable: null };
export function outcomeOf(cells, mark, gold, { rule, repeats }) {
  if (!cells.size) return NONE;
  const all = Array.from({ length: repeats }, (_, repeat) => cells.get(cellKey(mark, repeat))).filter(Boolean);
  const [cell] = all, answers = all.filter((each) => !each.error).map(answerOfCell);
  const answer = answerOfCell(cell);
  const right = !cell || gold === null ? null : isRight(gold, answer, rule);
  return { cell, all, answer, right, error: cell?.error ?? null, stable: answers.length > 1 ? agreement(answers) : null };
}

// The rows as examples, with the gold as the answer; those whose gold is no choice are left out.
export function asExamples(rows, content, binding) {
  const { document } = content, field = answerField(document), keys = choiceKeys(content);
  return rows.filter((row) => (keys ? keys.includes(row[binding.label]) : row[binding.label])).map((row) => {
    const item = itemOf(row, binding);
    return Object.fromEntries(exampleColumns(document).map((name) => [name, name === field ? row[binding.label] : item[name] ?? ""]));
  });
}

// Whether an item is one of the examples too, whose answer the model has read.
export function exampleMarks(document) {
  const field = answerField(document);
  return new Set((document.examples ?? []).map(({ [field]: _, ...item }) => markOf(item)));
}
export const isExample = (item, marks, document) => {
  const { [answerField(document)]: _, ...own } = item;
  return marks.has(markOf(own));
};

// The figures of a setting over its outcomes, a row each: pairs of gold and answer, and what they took.
export function figuresOf(outcomes, golds) {
  const pairs = [], ms = [], stable = [];
  let n = 0, failed = 0, tokens = 0;
  outcomes.forEach((outcome, at) => {
    if (!outcome.cell) return;
    n += 1;
    if (outcome.error) failed += 1;
    if (golds[at] !== null) pairs.push([golds[at], outcome.answer]);
    if (outcome.stable) stable.push(outcome.stable.share);
    for (const { ms: took, usage } of outcome.all) {
      if (took != null) ms.push(took);
      if (usage) tokens += usage.prompt_tokens + usage.completion_tokens;
    }
  });
  return { n, failed, tokens, pairs, ms, stability: stable.length ? stable.reduce((sum, value) => sum + value, 0) / stable.length : null };
}
