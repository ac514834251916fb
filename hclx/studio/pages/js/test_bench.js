// A test as its page works with it: rows, what is compared, the answers so far, and what runs next.
import { useEffect, useMemo, useRef, useState } from "./html.js";
import { api, whenBack } from "./api.js";
import { isRight } from "./evaluation.js";
import { t } from "./words.js";
import { bindingOf, choiceKeys, contentOf, isEmpty, itemOf, markOfContent, newTest, outcomeOf } from "./test_settings.js";
import { plainError } from "./row_errors.js";
import { TestQueue } from "./test_queue.js";
import { cellKey, keep, kept, markOf, seedOf } from "./test_store.js";
import { ROW } from "./test_table.js";
import { titleOf } from "./parts/setting_dialog.js";
import { notify, notifyError } from "./parts/notices.js";

export const newId = () => crypto.getRandomValues(new Uint32Array(2)).reduce((text, part) => text + part.toString(36), "");

// What is compared and how, kept in the browser: [test, put]; test is null until it is read.
export function useTest(prompt) {
  const [test, setTest] = useState(null);
  useEffect(() => { kept("settings", prompt).then((before) => setTest({ ...newTest(), ...before })); }, [prompt]);
  const put = (changes) => setTest((before) => {
    const next = { ...before, ...(typeof changes === "function" ? changes(before) : changes) };
    keep("settings", prompt, next);
    return next;
  });
  return [test, put];
}

// The contents of the versions that are compared: number -> content.
function useVersions(prompt, settings) {
  const [contents, setContents] = useState({}), asked = useRef(new Set());
  const numbers = settings.map(({ base }) => base).filter((base) => typeof base === "number");
  useEffect(() => {
    for (const version of numbers) {
      if (asked.current.has(version)) continue;
      asked.current.add(version);
      whenBack(() => api.get(`api/prompts/${prompt}/versions/${version}`)).then(
        ({ content }) => setContents((before) => ({ ...before, [version]: content })),
        (error) => { asked.current.delete(version); notifyError(error); },
      );
    }
  }, [numbers.join()]);
  return contents;
}

// Returns [queue, its state]; onAnswer(job, facts) gets the answers.
export function useQueue(onAnswer) {
  const [state, setState] = useState({ state: "idle", done: 0, total: 0 }), latest = useRef(onAnswer), own = useRef(null);
  latest.current = onAnswer;
  own.current ??= new TestQueue({ onAnswer: (job, facts) => latest.current(job, facts), onState: setState });
  useEffect(() => () => own.current.stop(), []);
  useEffect(() => { if (state.error) notify(plainError(state.error), "error"); }, [state.error]);
  return [own.current, state];
}

// The marks of rows: of what is asked for each. A row that was not changed keeps its own.
function useMarks(rows, binding, key) {
  const cache = useRef({ key: null, marks: new WeakMap() });
  if (cache.current.key !== key) cache.current = { key, marks: new WeakMap() };
  return useMemo(() => rows.map((row) => {
    const { marks } = cache.current;
    if (!marks.has(row)) marks.set(row, markOf(itemOf(row, binding)));
    return marks.get(row);
  }), [rows, key]);
}

// What is compared, with `own`, its content; `mark`; `title`; `record`, its run; and whether its answers are older.
function settingsOf(test, content, versions, runs) {
  return test.settings.map((setting) => {
    const record = runs.find(({ id }) => id === setting.run);
    const base = setting.base === "draft" ? content : versions[setting.base];
    const own = setting.isEarlier ? record?.content : base && contentOf(setting, base);
    const mark = own && markOfContent(own);
    const isStale = Boolean(record && mark && !setting.isEarlier && record.mark !== mark);
    return { ...setting, own, mark, title: titleOf(setting, runs), record, isStale };
  });
}

export const differs = (first, other) => Boolean(first.cell && other.cell && !isRight(first.answer ?? "", other.answer ?? ""));

export function useBench({ draft, table, test, runs }) {
  const { columns, rows } = table.value, { content } = draft, versions = useVersions(draft.id, test.settings);
  const binding = bindingOf(test, content, columns), boundKey = JSON.stringify(binding.bound), keys = choiceKeys(content);
  const repeats = keys ? 1 : test.repeats, rule = keys ? "equal" : test.rule;
  const settings = settingsOf(test, content, versions, runs.runs), runKey = settings.map((setting) => setting.run).join();
  useEffect(() => { for (const { run, record } of settings) if (record) runs.load(run); }, [runKey, runs.runs]);
  const marks = useMarks(rows, binding, boundKey);
  const filled = useMemo(() => rows.map((row) => !isEmpty(itemOf(row, binding))), [rows, boundKey]);
  const golds = useMemo(() => rows.map((row) => (binding.label && row[binding.label]?.trim() ? row[binding.label] : null)), [rows, binding.label]);
  const outcomes = useMemo(() => settings.map(({ run }) => {
    const cells = runs.cells(run);
    return rows.map((_, at) => outcomeOf(cells, marks[at], golds[at], { rule, repeats }));
  }), [rows, marks, golds, rule, repeats, runKey, runs.version]);
  const indexOf = useMemo(() => new Map(rows.map((row, at) => [row[ROW], at])), [rows]);
  return { columns, rows, binding, keys, repeats, rule, settings, marks, filled, golds, outcomes, placeOf: (row) => indexOf.get(row[ROW]) };
}

// What is asked for: the rows that are wanted, by every setting, but for answers that are there. `ids`: setting -> run.
export function jobsOf({ rows, filled, marks, repeats, binding }, live, ids, isWanted, cells) {
  const jobs = [], asked = new Set();
  const add = (at, repeat, { id, own }) => {
    const run = ids[id], key = cellKey(marks[at], repeat), before = run && cells(run).get(key);
    if (!run || (before && !before.error) || asked.has(run + key)) return;
    asked.add(run + key);
    jobs.push({ run, row: marks[at], repeat, content: own, item: itemOf(rows[at], binding), seed: seedOf(marks[at], repeat) });
  };
  for (let at = 0; at < rows.length; at++) {
    if (!filled[at] || !isWanted(at)) continue;
    for (let repeat = 0; repeat < repeats; repeat++) for (const setting of live) add(at, repeat, setting);
  }
  return jobs;
}

// Makes the runs that are needed, and asks for what they do not have yet; isAgain: for everything anew.
export function startTest({ bench, queue, runs, putTest, prompt }, isWanted, isAgain = false) {
  const live = bench.settings.filter(({ isEarlier, own }) => !isEarlier && own), ids = {};
  for (const { id, own, mark, record, title } of live) {
    const isKept = record && record.mark === mark && !isAgain;
    ids[id] = isKept ? record.id : newId();
    if (!isKept) runs.add({ id: ids[id], prompt, title, created: Date.now(), content: own, mark });
  }
  putTest((before) => ({ settings: before.settings.map((setting) => (ids[setting.id] ? { ...setting, run: ids[setting.id] } : setting)) }));
  const jobs = jobsOf(bench, live, ids, isWanted, runs.cells);
  if (jobs.length) queue.start(jobs);
  else notify(t("test.nothingLeft"));
}

// Which rows are shown: {filter, shown, choose, chooseCell, counts, chosen, setChosen, chosenAt}. The rows of a filter stay as they
// were when it was chosen, so that none goes away while it is edited.
export const FILTERS = ["all", "wrong", "differs", "failed", "missing", "chosen"];
export function useFilter(bench) {
  const { rows, outcomes, settings, golds, filled } = bench, [filter, setFilter] = useState(null), [chosen, setChosen] = useState(new Set());
  const live = settings.map((setting, index) => [setting, index]).filter(([{ isEarlier }]) => !isEarlier);
  const tests = {
    all: () => true, wrong: (at) => outcomes.some((list) => list[at].right === false), failed: (at) => outcomes.some((list) => list[at].error),
    differs: (at) => outcomes.slice(1).some((list) => differs(outcomes[0][at], list[at])), chosen: (at) => chosen.has(rows[at][ROW]),
    missing: (at) => filled[at] && live.some(([{ isStale }, index]) => isStale || !outcomes[index][at].cell),
  };
  const stale = settings.map(({ isStale }) => isStale).join();
  const counts = useMemo(() => Object.fromEntries(FILTERS.map((name) => [name, rows.reduce((n, _, at) => n + (tests[name](at) ? 1 : 0), 0)])), [rows, outcomes, chosen, filled, stale]);
  const show = (name, passes, cell) => setFilter({ name, cell, ids: new Set(rows.filter((_, at) => passes(at)).map((row) => row[ROW])) });
  const choose = (name) => (name === "all" ? setFilter(null) : show(name, tests[name]));
  const chooseCell = (cell) => {
    if (!cell) return setFilter(null);
    const list = outcomes[settings.findIndex(({ id }) => id === cell.setting)];
    const passes = (at) => list[at].cell && golds[at] !== null && isRight(cell.gold, golds[at]) && (cell.answer ? isRight(cell.answer, list[at].answer) : !list[at].answer);
    return show("matrix", passes, cell);
  };
  return { filter, counts, choose, chooseCell, chosen, setChosen, chosenAt: tests.chosen, shown: filter ? rows.filter((row) => filter.ids.has(row[ROW])) : rows };
}
