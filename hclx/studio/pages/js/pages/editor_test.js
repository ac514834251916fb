// Testing a prompt on a table: every row is answered, by several settings side by side, and the answers are counted.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { number, t } from "../words.js";
import { withDocument } from "../content.js";
import { isRight } from "../evaluation.js";
import { csvOf } from "../csv.js";
import { TestQueue } from "../test_queue.js";
import { useTestRuns } from "../test_runs.js";
import { asExamples, bindingOf, choiceKeys, contentOf, exampleMarks, fieldsOfContent, isChat, isEmpty, isExample, itemOf, markOfContent, newTest, outcomeOf } from "../test_settings.js";
import { cellKey, keep, kept, markOf, seedOf } from "../test_store.js";
import { ROW, mergedRows, numbered, useTable } from "../test_table.js";
import { ChooseTable } from "../parts/choose_table.js";
import { DataTable } from "../parts/data_table.js";
import { confirmed } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { ImportDialog } from "../parts/import_dialog.js";
import { notify, notifyError } from "../parts/notices.js";
import { Pending, download } from "../parts/page.js";
import { SettingDialog, titleOf } from "../parts/setting_dialog.js";
import { RunControls, SettingsBar } from "../parts/test_bar.js";
import { CellDialog, ResultCell } from "../parts/test_cell.js";
import { TestColumns } from "../parts/test_columns.js";
import { TestSummary } from "../parts/test_summary.js";
import { TextInput } from "../parts/text_input.js";

const newId = () => crypto.getRandomValues(new Uint32Array(2)).reduce((text, part) => text + part.toString(36), "");

// What is compared and how, kept in the browser: [test, put]; test is null until it is read.
function useTest(prompt) {
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

function useQueue(onAnswer) {
  const [state, setState] = useState({ state: "idle", done: 0, total: 0 }), latest = useRef(onAnswer), own = useRef(null);
  latest.current = onAnswer;
  own.current ??= new TestQueue({ onAnswer: (job, facts) => latest.current(job, facts), onState: setState });
  useEffect(() => () => own.current.stop(), []);
  useEffect(() => { if (state.error) notifyError(state.error); }, [state.error]);
  return [own.current, state];
}

// The marks of rows: of what is asked for each. A row that was not changed keeps its own.
function useMarks(rows, binding) {
  const cache = useRef({ key: null, marks: new WeakMap() }), key = JSON.stringify(binding.bound);
  if (cache.current.key !== key) cache.current = { key, marks: new WeakMap() };
  return useMemo(() => rows.map((row) => {
    const { marks } = cache.current;
    if (!marks.has(row)) marks.set(row, markOf(itemOf(row, binding)));
    return marks.get(row);
  }), [rows, key]);
}

const FILTERS = ["all", "wrong", "differs", "failed", "missing", "chosen"];
function Filters({ filter, counts, onChoose }) {
  const used = FILTERS.filter((name) => name === "all" || counts[name] > 0 || filter?.name === name);
  return html`<div class="row filters" role="group" aria-label=${t("test.filter")}>
    ${used.map((name) => html`<button key=${name} type="button" class="plain" aria-pressed=${(filter?.name ?? "all") === name} onClick=${() => onChoose(name)}>${t(`test.filter_${name}`)} ${number(counts[name])}</button>`)}
    ${filter?.name === "matrix" && html`<button type="button" class="plain" aria-pressed="true" onClick=${() => onChoose("all")}>${filter.text} ✕</button>`}
  </div>`;
}

function exportedTest(table, settings, outcomes) {
  const columns = [...table.columns, ...settings.flatMap(({ title }) => ["answer", "right", "ms", "tokens", "error"].map((name) => `${title}: ${t(`test.csv_${name}`)}`))];
  const rows = table.rows.map((row, at) => [...table.columns.map((name) => row[name]), ...outcomes.flatMap((list) => {
    const { cell, answer, right, error } = list[at], usage = cell?.usage;
    return [answer, right === null ? "" : right ? "O" : "X", cell?.ms, usage && usage.prompt_tokens + usage.completion_tokens, error];
  })]);
  return csvOf(columns, rows);
}

function Bench({ draft }) {
  const { content, change } = draft, table = useTable(content.table), [test, putTest] = useTest(draft.id), runs = useTestRuns(draft.id);
  if (table.error) return html`<${Pending} loaded=${table} /><div class="row choose-other"><button type="button" onClick=${() => change((latest) => ({ ...latest, table: null }))}>${t("test.otherTable")}</button></div>`;
  if (!table.value || !test || !runs.runs) return html`<${Pending} loaded=${{}} />`;
  return html`<${Test} draft=${draft} content=${content} change=${change} table=${table} test=${test} putTest=${putTest} runs=${runs} />`;
}

function Test({ draft, content, change, table, test, putTest, runs }) {
  const { columns, rows } = table.value, versions = useVersions(draft.id, test.settings);
  const [open, setOpen] = useState(null), [filter, setFilter] = useState(null), [chosen, setChosen] = useState(new Set());
  const [queue, queueState] = useQueue(({ run, row, repeat }, facts) => runs.put({ run, row, repeat, ...facts }));
  const binding = bindingOf(test, content, columns), marks = useMarks(rows, binding), keys = choiceKeys(content);
  const repeats = keys ? 1 : test.repeats, rule = keys ? "equal" : test.rule, isBusy = queueState.state !== "idle";

  const settings = test.settings.map((setting) => {
    const run = runs.runs.find(({ id }) => id === setting.run);
    const base = setting.base === "draft" ? content : versions[setting.base];
    const own = setting.isEarlier ? run?.content : base && contentOf(setting, base);
    const mark = own && markOfContent(own);
    return { ...setting, own, mark, title: titleOf(setting, runs.runs), record: run, isStale: Boolean(run && mark && !setting.isEarlier && run.mark !== mark) };
  });
  const runKey = settings.map((setting) => setting.run).join();
  useEffect(() => { for (const { run, record } of settings) if (record) runs.load(run); }, [runKey, runs.runs]);

  const golds = useMemo(() => rows.map((row) => (binding.label && row[binding.label]?.trim() ? row[binding.label] : null)), [rows, binding.label]);
  const outcomes = useMemo(() => settings.map(({ run }) => {
    const cells = runs.cells(run);
    return rows.map((_, at) => outcomeOf(cells, marks[at], golds[at], { rule, repeats }));
  }), [rows, marks, golds, rule, repeats, runKey, runs.version]);
  const indexOf = useMemo(() => new Map(rows.map((row, at) => [row[ROW], at])), [rows]);
  const live = settings.filter(({ isEarlier }) => !isEarlier), filled = useMemo(() => rows.map((row) => !isEmpty(itemOf(row, binding))), [rows, marks]);
  const tests = {
    all: () => true, wrong: (at) => outcomes.some((list) => list[at].right === false), failed: (at) => outcomes.some((list) => list[at].error),
    differs: (at) => outcomes.slice(1).some((list) => differs(outcomes[0][at], list[at])), chosen: (at) => chosen.has(rows[at][ROW]),
    missing: (at) => filled[at] && live.some((setting) => setting.isStale || !outcomes[settings.indexOf(setting)][at].cell),
  };
  const counts = Object.fromEntries(FILTERS.map((name) => [name, rows.reduce((n, _, at) => n + (tests[name](at) ? 1 : 0), 0)]));
  const keepRows = (name, passes, facts = {}) => setFilter({ name, ids: new Set(rows.filter((_, at) => passes(at)).map((row) => row[ROW])), ...facts });
  const choose = (name) => (name === "all" ? setFilter(null) : keepRows(name, tests[name]));
  const chooseCell = (cell) => {
    if (!cell) return setFilter(null);
    const list = outcomes[settings.findIndex(({ id }) => id === cell.setting)];
    const passes = (at) => list[at].cell && golds[at] !== null && isRight(cell.gold, golds[at]) && (cell.answer ? isRight(cell.answer, list[at].answer) : !list[at].answer);
    return keepRows("matrix", passes, { cell, text: t("test.confusedFilter", { gold: cell.gold, answer: cell.answer || t("test.emptyAnswer") }) });
  };
  const shown = filter ? rows.filter((row) => filter.ids.has(row[ROW])) : rows;
  const setRows = (next) => {
    if (filter) setFilter({ ...filter, ids: new Set([...filter.ids, ...numbered(next).map((row) => row[ROW])]) });
    table.change({ rows: filter ? mergedRows(rows, shown, next) : next });
  };

  // Makes the runs that are needed, and asks for what they do not have yet.
  const start = (isWanted, isAgain = false) => {
    const ids = {}, jobs = [], asked = new Set();
    for (const { id, own, mark, record, title } of live) {
      if (!own) continue;
      ids[id] = record && record.mark === mark && !isAgain ? record.id : newId();
      if (ids[id] !== record?.id) runs.add({ id: ids[id], prompt: draft.id, title, created: Date.now(), content: own, mark });
    }
    putTest((before) => ({ settings: before.settings.map((setting) => (ids[setting.id] ? { ...setting, run: ids[setting.id] } : setting)) }));
    rows.forEach((row, at) => {
      if (!isWanted(at) || !filled[at]) return;
      for (let repeat = 0; repeat < repeats; repeat++) {
        for (const { id, own } of live) {
          const run = ids[id], key = cellKey(marks[at], repeat), before = run && runs.cells(run).get(key);
          if (!run || (before && !before.error) || asked.has(run + key)) continue;
          asked.add(run + key);
          jobs.push({ run, row: marks[at], repeat, content: own, item: itemOf(row, binding), seed: seedOf(marks[at], repeat) });
        }
      }
    });
    queue.start(jobs);
  };
  const rowAgain = ({ run, own, isEarlier, record }, at) => {
    const jobs = Array.from({ length: repeats }, (_, repeat) => ({ run, row: marks[at], repeat, content: isEarlier || !own ? record.content : own, item: itemOf(rows[at], binding), seed: seedOf(marks[at], repeat) }));
    queue.start(jobs);
  };
  const addExamples = async () => {
    const wrong = rows.filter((row, at) => outcomes[0][at].right === false && (!counts.chosen || chosen.has(row[ROW])));
    const examples = asExamples(wrong, content, binding);
    if (!examples.length) return notify(t("test.noExamples"), "error");
    if (!(await confirmed(t("test.addExamplesAsk", { n: number(examples.length) }), { action: t("common.add") }))) return undefined;
    change((latest) => withDocument(latest, { examples: [...(latest.document.examples ?? []), ...examples] }));
    const gone = new Set(wrong.map((row) => row[ROW]));
    return notify(t("test.examplesAdded", { n: number(examples.length) }), "info", { label: t("test.takeOut"), run: () => table.change({ rows: rows.filter((row) => !gone.has(row[ROW])) }) });
  };
  const actions = {
    runAll: () => start(() => true, counts.missing === 0 && counts.failed === 0), runChosen: () => start((at) => chosen.has(rows[at][ROW])),
    pause: () => queue.pause(), resume: () => queue.resume(), stop: () => queue.stop(),
  };
  const leak = useMemo(() => {
    if (isChat(content)) return 0;
    const known = exampleMarks(content.document);
    return known.size ? rows.filter((row, at) => filled[at] && isExample(itemOf(row, binding), known, content.document)).length : 0;
  }, [rows, marks, content.document]);
  const openCell = (setting, row) => {
    const at = indexOf.get(row[ROW]), outcome = outcomes[settings.indexOf(setting)][at];
    setOpen({ setting, at, detail: { title: t("test.detailTitle", { row: number(at + 1), name: setting.title }), item: itemOf(row, binding), gold: golds[at], outcome, content: setting.record?.content ?? setting.own } });
  };
  const toggle = (row) => setChosen((before) => {
    const next = new Set(before);
    if (!next.delete(row[ROW])) next.add(row[ROW]);
    return next;
  });
  const toggleAll = (isOn) => setChosen(isOn ? new Set(shown.map((row) => row[ROW])) : new Set());
  const shownColumns = [
    { name: " chosen", label: html`<input type="checkbox" aria-label=${t("test.chooseAll")} checked=${shown.length > 0 && shown.every((row) => chosen.has(row[ROW]))} onChange=${(event) => toggleAll(event.currentTarget.checked)} />`,
      cell: (row) => html`<input type="checkbox" aria-label=${t("test.chooseRow", { row: indexOf.get(row[ROW]) + 1 })} checked=${chosen.has(row[ROW])} onChange=${() => toggle(row)} />` },
    ...columns.map((name) => ({ name, options: name === binding.label && keys ? ["", ...keys] : null })),
    ...settings.map((setting, index) => ({ name: ` ${setting.id}`, label: setting.title, cell: (row) => {
      const at = indexOf.get(row[ROW]), outcome = outcomes[index][at];
      return html`<${ResultCell} outcome=${outcome} name=${setting.title} isOther=${index > 0 && differs(outcomes[0][at], outcome)} isWaiting=${isBusy && filled[at]} onOpen=${() => openCell(setting, row)} />`;
    } })),
  ];
  const emptyRow = () => Object.fromEntries(columns.map((name) => [name, ""]));
  return html`<div class="test">
    <section class="card">
      <${SettingsBar} settings=${settings} isBusy=${isBusy} onAdd=${() => setOpen("setting")}
        onRemove=${(id) => putTest((before) => ({ settings: before.settings.filter((setting) => setting.id !== id) }))} />
      <${RunControls} queue=${queueState} actions=${actions} mayRun=${!binding.missing.length && filled.some(Boolean)}
        counts=${{ missing: counts.missing, answered: outcomes.flat().filter(({ cell }) => cell).length, chosen: counts.chosen, stale: settings.some(({ isStale }) => isStale) }} />
      <${TestColumns} test=${test} columns=${columns} binding=${binding} isWritten=${!keys} onTest=${putTest}
        onColumn=${(name) => table.change({ columns: [...columns, name] })} />
      ${leak > 0 && html`<p class="warning">${t("test.leak", { n: number(leak) })}</p>`}
    </section>
    <${TestSummary} settings=${settings} outcomes=${outcomes} golds=${golds} rule=${rule} keys=${keys} chosen=${filter?.cell} onChoose=${chooseCell} />
    <section class="card" aria-label=${t("test.table")}>
      <div class="row table-head"><${TextInput} class="grow table-name" aria-label=${t("test.tableName")} value=${table.value.name} maxlength="200" onInput=${(name) => name.trim() && table.change({ name })} />
        <span class="help" role="status">${t("common.rows", { n: number(rows.length) })} · ${t(`editor.state_${table.state}`)}</span>
        <button type="button" onClick=${() => { setFilter(null); table.change({ rows: [...rows, emptyRow()] }); }}><${Icon} name="plus" />${t("test.addRow")}</button>
        <button type="button" onClick=${() => setOpen("import")}><${Icon} name="file" />${t("examples.import")}</button>
        <button type="button" class="plain" onClick=${() => download(`${table.value.name}.csv`, exportedTest(table.value, settings, outcomes), "text/csv")}>${t("test.export")}</button>
        <button type="button" class="plain" disabled=${isBusy} onClick=${() => setOpen("table")}>${t("test.otherTable")}</button></div>
      <${Filters} filter=${filter} counts=${counts} onChoose=${choose} />
      ${open === "table" && html`<${ChooseTable} content=${content} title=${draft.title} onCancel=${() => setOpen(null)} onChoose=${(id) => change((latest) => ({ ...latest, table: id }))} />`}
      <${DataTable} label=${t("test.table")} rows=${shown} columns=${shownColumns} onChange=${setRows} height=${520} />
      ${outcomes[0].some(({ right }) => right === false) && !isChat(content) && html`<div class="row after"><button type="button" onClick=${addExamples}><${Icon} name="plus" />${t("test.addExamples")}</button><span class="help">${t("test.addExamplesHelp")}</span></div>`}
    </section>
    ${open === "import" && html`<${ImportDialog} columns=${columns} onClose=${() => setOpen(null)} onRows=${(added) => { table.change({ rows: [...rows.filter((row) => columns.some((name) => row[name]?.trim())), ...added] }); setFilter(null); setOpen(null); }} />`}
    ${open === "setting" && html`<${CompareDialog} draft=${draft} runs=${runs.runs.filter(({ id }) => !settings.some(({ run }) => run === id))} onClose=${() => setOpen(null)}
      onChoose=${(setting) => { putTest((before) => ({ settings: [...before.settings, { ...setting, id: newId() }] })); setOpen(null); }} />`}
    ${open?.detail && html`<${CellDialog} detail=${open.detail} onClose=${() => setOpen(null)} onAgain=${() => { rowAgain(open.setting, open.at); setOpen(null); }} />`}
  </div>`;
}

const differs = (first, other) => Boolean(first.cell && other.cell && !isRight(first.answer ?? "", other.answer ?? ""));

// Versions are asked for when they are needed, as one may just have been saved.
function CompareDialog({ draft, ...rest }) {
  const [versions, setVersions] = useState(null);
  useEffect(() => {
    whenBack(() => api.get(`api/prompts/${draft.id}`)).then(({ versions: list }) => setVersions([...list].sort((a, b) => b.number - a.number)), (error) => { notifyError(error); setVersions([]); });
  }, []);
  return versions && html`<${SettingDialog} content=${draft.content} versions=${versions} ...${rest} />`;
}

export default function EditorTest({ draft }) {
  const { content, change } = draft;
  if (!fieldsOfContent(content).length) return html`<section class="empty"><h2>${t("test.noSlots")}</h2><p>${t("test.noSlotsText")}</p><a class="button" href=${`#/prompts/${draft.id}`}>${t("test.toWrite")}</a></section>`;
  if (!content.table) return html`<${ChooseTable} content=${content} title=${draft.title} onChoose=${(table) => change((latest) => ({ ...latest, table }))} />`;
  return html`<${Bench} key=${content.table} draft=${draft} />`;
}
