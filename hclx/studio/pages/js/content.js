// What the Studio edits: pure functions from one content to the next. See docs/studio_content.md.
//
// A content is {schema, document, model, view, n, logprobs, block, table, item, chat}; its document is that of
// hclx/prompts, which everything else that reads prompts takes as it is.
import { escaped, fieldsOf, parseTemplate, renameField, splitAtLastSlot, writeTemplate } from "./template.js";

export const SCHEMA = "hclx.studio/1";
export const SAMPLING = { max_tokens: 100, temperature: 0.5, top_p: 0.8, top_k: 0, repetition_penalty: 1.1 };
// The ranges of sliders. Number boxes take the same.
export const RANGES = {
  max_tokens: [1, 2048, 1], temperature: [0, 2, 0.05], top_p: [0.01, 1, 0.01], top_k: [0, 128, 1], repetition_penalty: [0.5, 2, 0.01],
};
const CREATIVITY = 10; // the steps of the simple slider

export function newContent({ name, field, answer }) {
  return {
    schema: SCHEMA,
    view: "blocks",
    document: {
      schema: "hclx.prompt/1", name, input: `{${field}}\n${answer}:`, answer: ` {${answer}}`, answer_field: answer, separator: "\n\n",
      stop: ["\n\n"], sampling: { ...SAMPLING },
    },
    item: {},
  };
}

export const withDocument = (content, changes) => {
  const document = { ...content.document, ...changes };
  for (const name of Object.keys(document)) if (document[name] === undefined) delete document[name];
  return { ...content, document };
};

export const answerField = (document) => document.answer_field ?? "answer";

// The names of all fields that an item needs, as PromptDocument.input_fields has them.
export function inputFields(document) {
  const templates = [document.directive, document.input];
  if (hasChoices(document)) templates.push(...Object.values(choicesOf(document)), document.answer);
  return fieldsOf(...templates).filter((name) => name !== answerField(document));
}

// The item that was tried last, with every field.
export const itemOf = (content) => Object.fromEntries(inputFields(content.document).map((name) => [name, content.item?.[name] ?? ""]));

// The columns of the table of examples: what the templates of an example need, and the answer.
export function exampleColumns(document) {
  const own = fieldsOf(document.input, document.answer).filter((name) => name !== answerField(document));
  return [...own, answerField(document)];
}

export const hasChoices = (document) => Boolean(document.choices && Object.keys(document.choices).length);
export const choicesOf = (document) =>
  Array.isArray(document.choices) ? Object.fromEntries(document.choices.map((text) => [text, escaped(text)])) : document.choices ?? {};

// How the answer is made: "choose" among given answers, "write", or "shape", which follows a grammar.
export function kindOf(document) {
  if (document.choices !== undefined) return "choose";
  return document.grammar ? "shape" : "write";
}

// Changes how the answer is made. `before` is what that kind had when it was left, if it was.
export function withKind(content, kind, before = {}) {
  const none = { choices: undefined, grammar: undefined, parser: undefined, sampling: undefined, stop: undefined };
  const defaults = {
    choose: { choices: before.choices ?? {} },
    write: { sampling: before.sampling ?? { ...SAMPLING }, stop: before.stop ?? ["\n\n"] },
    shape: {
      sampling: before.sampling ?? { ...SAMPLING },
      grammar: before.grammar ?? { json_schema: { type: "object", properties: {}, required: [], additionalProperties: false } },
    },
  };
  return withDocument(content, { ...none, ...defaults[kind] });
}

export const knob = (content, name) => content.document.sampling?.[name] ?? (name === "temperature" ? 0 : SAMPLING[name]);
export const withKnob = (content, name, value) => withDocument(content, { sampling: { ...content.document.sampling, [name]: value } });

// Examples of which nothing is written yet are left out of what is run and saved as a version.
export function withoutBlankExamples(content) {
  const { examples = [] } = content.document, kept = examples.filter((example) => Object.values(example).some((text) => text.trim()));
  return kept.length === examples.length ? content : withDocument(content, { examples: kept.length ? kept : undefined });
}

// What keeps a prompt from running: `name` is a key of the words in `problems`, `row` the number of the example, from 1,
// where it is one; null if this page knows of nothing.
export function problemOf(document) {
  const name = problemName(document), field = answerField(document), choices = choicesOf(document);
  if (name !== "exampleAnswer") return name && { name };
  return { name, row: 1 + document.examples.findIndex((example) => !(example[field] in choices)) };
}

function problemName(document) {
  const templates = [document.directive ?? "", document.input ?? "", document.answer ?? ""];
  if (templates.some((source) => parseTemplate(source) === null)) return "braces";
  const field = answerField(document);
  if (!fieldsOf(document.answer).includes(field)) return "answer";
  if (fieldsOf(document.directive, document.input).includes(field)) return "answerBefore";
  if (document.choices !== undefined) {
    const choices = choicesOf(document);
    if (Object.keys(choices).length < 2) return "choices";
    if ((document.examples ?? []).some((example) => !(example[field] in choices))) return "exampleAnswer";
  }
  const needed = fieldsOf(document.input, document.answer);
  if ((document.examples ?? []).some((example) => needed.some((name) => example[name] === undefined))) return "exampleField";
  const schema = document.grammar?.json_schema;
  if (schema?.type === "object" && !Object.keys(schema.properties ?? {}).length) return "shape";
  return null;
}

// The text that stands behind what the user gives, before the answer ("inject start text").
export const startText = (document) => splitAtLastSlot(document.input ?? "")[1];
export const withStartText = (content, text) =>
  withDocument(content, { input: splitAtLastSlot(content.document.input ?? "")[0] + escaped(text) });

// The label before a single field, and whether the input is simple enough to be edited without slots.
export function simpleInput(document) {
  const parts = parseTemplate(document.input ?? "");
  const slots = parts?.filter((part) => part.field) ?? [];
  if (slots.length !== 1 || slots[0].particle) return null;
  return { label: typeof parts[0] === "string" ? parts[0] : "", field: slots[0].field };
}
export function withLabel(content, label) {
  const { field } = simpleInput(content.document);
  return withDocument(content, { input: writeTemplate([label, { field, particle: "" }, startText(content.document)].filter(Boolean)) });
}

// Renames a column in templates, examples and the item.
export function withField(content, from, to) {
  const { document } = content;
  const moved = (row) => Object.fromEntries(Object.entries(row).map(([name, text]) => [name === from ? to : name, text]));
  const changes = { examples: document.examples?.map(moved) };
  for (const name of ["directive", "input", "answer"]) if (document[name]) changes[name] = renameField(document[name], from, to);
  if (hasChoices(document)) {
    changes.choices = Object.fromEntries(Object.entries(choicesOf(document)).map(([key, text]) => [key, renameField(text, from, to)]));
  }
  if (answerField(document) === from) changes.answer_field = to;
  return { ...withDocument(content, changes), item: moved(content.item ?? {}) };
}

// The free text: all of it is the directive, and the start text alone stands behind it.
export const isText = (content) => content.view === "text";
export const freeText = (content) => (parseTemplate(content.document.directive ?? "") ?? []).map((part) => part.field ?? part).join("");
export const withFreeText = (content, text) => withDocument(content, { directive: escaped(text) });
export function asText(content, rendered) {
  const { examples, choices, answer_field, grammar, parser, ...document } = content.document;
  const own = { ...document, directive: escaped(rendered), input: "", answer: "{answer}", sampling: document.sampling ?? { ...SAMPLING } };
  return { ...content, view: "text", document: own };
}

// The slider from consistency to creativity (0 to 10), and the settings that stand for it.
export function creativity(content) {
  return Math.round(Math.min(1, knob(content, "temperature")) * CREATIVITY);
}
export function withCreativity(content, level) {
  const temperature = level / CREATIVITY, top_p = Number((0.5 + 0.045 * level).toFixed(3));
  return withDocument(content, { sampling: { ...content.document.sampling, temperature, top_p, top_k: 0 } });
}

// A file of a prompt with everything that was set; reading it gives the same content.
export const exported = (title, content) => JSON.stringify({ title, ...content }, null, 2);
export function imported(text) {
  const { title, ...content } = JSON.parse(text);
  if (content.schema === SCHEMA) return { title: title ?? content.document.name, content };
  if (content.schema === "hclx.prompt/1") return { title: content.name, content: { schema: SCHEMA, view: "blocks", document: content, item: {} } };
  return null;
}
