// The rows that a model is tuned on: pure functions that make and check them.
import { SAMPLING, answerField, choicesOf, hasChoices, inputFields } from "../content.js";

export const FEW = 20; // rows below which little can be learnt
const A_STEP = 8; // rows of a step of the server, about

// What is learnt where no prompt was chosen: a text, and the answer below it.
export const plainDocument = (input, answer) => ({
  schema: "hclx.prompt/1", name: "tuned", input: `{${input}}\n`, answer: `{${answer}}`, answer_field: answer, sampling: { ...SAMPLING, temperature: 0 },
});

// The columns of rows for a document; the answer is the last.
export const rowColumns = (document) => [...inputFields(document), answerField(document)];

// The document that is learnt: the rows stand in for its examples.
export function learntDocument({ examples, ...document }) {
  return document;
}

// The rows of a prompt's examples, and those of its test table that have an answer.
export function rowsOfPrompt(content, table) {
  const columns = rowColumns(content.document);
  const whole = (row) => Object.fromEntries(columns.map((name) => [name, String(row[name] ?? content.item?.[name] ?? "")]));
  const examples = (content.document.examples ?? []).map(whole);
  const answer = answerField(content.document);
  const at = table ? columns.map((name) => table.columns.indexOf(name)) : [];
  const isUsable = table && at[columns.indexOf(answer)] >= 0;
  const tested = isUsable
    ? table.rows.map((row) => whole(Object.fromEntries(columns.flatMap((name, index) => (at[index] < 0 ? [] : [[name, row[at[index]]]]))))).filter((row) => row[answer])
    : [];
  return { examples, tested };
}

// What is wrong with rows: [{code, isError, values}]. Errors have to be mended before a model is tuned.
export function checkRows(rows, document) {
  const columns = rowColumns(document), answer = columns.at(-1), problems = [];
  const add = (code, isError, values) => problems.push({ code, isError, values });
  if (!rows.length) return [{ code: "none", isError: true, values: {} }];
  const empty = rows.filter((row) => columns.some((name) => !row[name]?.trim())).length;
  if (empty) add("empty", true, { n: empty });
  if (hasChoices(document)) {
    const keys = Object.keys(choicesOf(document));
    const unknown = [...new Set(rows.map((row) => row[answer]).filter((key) => key && !keys.includes(key)))];
    const missing = keys.filter((key) => !rows.some((row) => row[answer] === key));
    if (unknown.length) add("unknown", true, { names: unknown.slice(0, 5).join(", ") });
    if (missing.length) add("missing", true, { names: missing.slice(0, 5).join(", ") });
    const counts = keys.map((key) => rows.filter((row) => row[answer] === key).length);
    if (!missing.length && Math.max(...counts) > 3 * Math.min(...counts)) add("uneven", false, {});
  }
  const inputs = new Map(), of = (row) => JSON.stringify(columns.slice(0, -1).map((name) => row[name]));
  for (const row of rows) inputs.set(of(row), (inputs.get(of(row)) ?? new Set()).add(row[answer]));
  const clashing = [...inputs.values()].filter((answers) => answers.size > 1).length;
  if (clashing) add("clashing", false, { n: clashing });
  const twice = rows.length - new Set(rows.map((row) => JSON.stringify(columns.map((name) => row[name])))).size;
  if (twice) add("twice", false, { n: twice });
  if (rows.length < FEW) add("few", false, { n: rows.length, few: FEW });
  return problems;
}

export const jsonLines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

// How often rows are read unless something else is chosen: few rows more often.
export const usualEpochs = (n_rows) => (n_rows < 50 ? 10 : n_rows < 200 ? 6 : 3);
export const aboutSteps = (n_rows, epochs) => Math.max(1, Math.ceil((n_rows * epochs) / A_STEP));

// The name of a model: letters, digits, dots, hyphens, underscores.
export const isName = (name) => /^[\p{L}\p{N}_.-]{1,60}$/u.test(name);
export const nameOf = (title) => title.trim().replace(/[^\p{L}\p{N}_.-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60);

// The settings of a job. way: {kind, pace, size, share, isPatient}; share: thousandths that are held out.
const PACES = { slow: 3e-4, usual: 1e-3, fast: 3e-3 };
export function settingsOf(way, n_rows, document, hasValidation) {
  const steps = aboutSteps(n_rows, way.epochs), every = Math.max(1, Math.floor(steps / 10));
  return {
    "OptimizerConfig.learning_rate": PACES[way.pace],
    ...(hasChoices(document) ? { "TuneConfig.objective": "choices" } : {}), // as the Studio scores them
    [way.kind === "lora" ? "TuneConfig.rank" : "TuneConfig.length"]: way.size,
    "TrainConfig.log_every": Math.max(1, Math.floor(every / 5)),
    "TrainConfig.eval_every": every,
    "TrainConfig.checkpoint_every": every,
    ...(way.isPatient ? { "TuneConfig.patience": 4 } : {}),
    ...(hasValidation ? {} : { "DataConfig.validation_permille": way.share }),
  };
}
