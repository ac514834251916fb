// The rows of a test with the answers beside them: edited, chosen, filtered, and saved as a file.
import { html, useEffect, useRef, useState } from "../html.js";
import { number, t } from "../words.js";
import { withDocument } from "../content.js";
import { csvOf } from "../csv.js";
import { FILTERS, differs } from "../test_bench.js";
import { asExamples, isChat, itemOf } from "../test_settings.js";
import { ROW, mergedRows } from "../test_table.js";
import { ChooseTable } from "./choose_table.js";
import { DataTable } from "./data_table.js";
import { confirmed } from "./dialog.js";
import { Icon } from "./icons.js";
import { ImportDialog } from "./import_dialog.js";
import { notify } from "./notices.js";
import { download } from "./page.js";
import { CellDialog, ResultCell } from "./test_cell.js";
import { TextInput } from "./text_input.js";

function Filters({ filter, counts, choose }) {
  const used = FILTERS.filter((name) => name === "all" || counts[name] > 0 || filter?.name === name), now = filter?.name ?? "all";
  const cell = filter?.cell;
  return html`<div class="row filters" role="group" aria-label=${t("test.filter")}>
    ${used.map((name) => html`<button key=${name} type="button" class="plain" aria-pressed=${now === name} onClick=${() => choose(name)}>${t(`test.filter_${name}`)} ${number(counts[name])}</button>`)}
    ${cell && html`<button type="button" class="plain" aria-pressed="true" onClick=${() => choose("all")}>${t("test.confusedFilter", { gold: cell.gold, answer: cell.answer || t("test.emptyAnswer") })} ✕</button>`}
  </div>`;
}

// The table and the answers by every setting as CSV.
function exportedTest(bench) {
  const { columns, rows, settings, outcomes } = bench;
  const added = settings.flatMap(({ title }) => ["answer", "right", "ms", "tokens", "error"].map((name) => `${title}: ${t(`test.csv_${name}`)}`));
  return csvOf([...columns, ...added], rows.map((row, at) => [...columns.map((name) => row[name]), ...outcomes.flatMap((list) => {
    const { cell, answer, right, error } = list[at], usage = cell?.usage;
    return [answer, right === null ? "" : right ? "O" : "X", cell?.ms, usage && usage.prompt_tokens + usage.completion_tokens, error];
  })]));
}

function columnsOf({ bench, filtered, isBusy, onOpen }) {
  const { columns, settings, outcomes, binding, keys, filled, placeOf } = bench, { shown, chosen, setChosen } = filtered;
  const toggle = (row) => setChosen((before) => {
    const next = new Set(before);
    if (!next.delete(row[ROW])) next.add(row[ROW]);
    return next;
  });
  const toggleAll = (isOn) => setChosen(isOn ? new Set(shown.map((row) => row[ROW])) : new Set());
  const areAll = shown.length > 0 && shown.every((row) => chosen.has(row[ROW]));
  return [
    { name: " chosen", label: html`<input type="checkbox" aria-label=${t("test.chooseAll")} checked=${areAll} onChange=${(event) => toggleAll(event.currentTarget.checked)} />`,
      cell: (row) => html`<input type="checkbox" aria-label=${t("test.chooseRow", { row: placeOf(row) + 1 })} checked=${chosen.has(row[ROW])} onChange=${() => toggle(row)} />` },
    ...columns.map((name) => ({ name, options: name === binding.label && keys ? ["", ...keys] : null })),
    ...settings.map((setting, index) => ({ name: ` ${setting.id}`, label: setting.title, cell: (row) => {
      const at = placeOf(row), outcome = outcomes[index][at];
      return html`<${ResultCell} outcome=${outcome} name=${setting.title} isOther=${index > 0 && differs(outcomes[0][at], outcome)} isWaiting=${isBusy && filled[at]}
        onOpen=${() => onOpen(setting, index, at)} />`;
    } })),
  ];
}

// Offers to put the rows that were answered wrongly among the examples of the prompt.
function WrongRows({ draft, bench, filtered, table }) {
  const { rows, outcomes, binding } = bench, { chosen } = filtered;
  const wrong = rows.filter((_, at) => outcomes[0][at].right === false), few = wrong.filter((row) => chosen.has(row[ROW]));
  if (!wrong.length || isChat(draft.content)) return null;
  const add = async () => {
    const taken = few.length ? few : wrong, examples = asExamples(taken, draft.content, binding), gone = new Set(taken.map((row) => row[ROW]));
    if (!examples.length) return notify(t("test.noExamples"), "error");
    if (!(await confirmed(t("test.addExamplesAsk", { n: number(examples.length) }), { action: t("common.add") }))) return undefined;
    draft.change((latest) => withDocument(latest, { examples: [...(latest.document.examples ?? []), ...examples] }));
    const takeOut = () => table.change(({ rows: latest }) => ({ rows: latest.filter((row) => !gone.has(row[ROW])) }));
    return notify(t("test.examplesAdded", { n: number(examples.length) }), "info", { label: t("test.takeOut"), run: takeOut });
  };
  return html`<div class="row after"><button type="button" onClick=${add}><${Icon} name="plus" />${few.length ? t("test.addChosen", { n: number(few.length) }) : t("test.addExamples")}</button>
    <span class="help">${t("test.addExamplesHelp")}</span></div>`;
}

// table: of useTable; bench: of useBench; filtered: of useFilter; onAgain(setting, at) asks for an answer anew.
export function TestRows({ draft, table, bench, filtered, isBusy, onAgain }) {
  const [open, setOpen] = useState(null), { columns, rows, settings, outcomes, golds, binding } = bench, { filter, shown, choose } = filtered;
  const { name } = table.value, close = () => setOpen(null), box = useRef(null);
  const grown = useRef(!bench.filled.some(Boolean)); // a row was added, or all are empty: its first cell is written next
  useEffect(() => {
    if (!grown.current) return undefined;
    grown.current = false;
    const list = box.current.querySelector(".data-table"), isFirst = !bench.filled.some(Boolean);
    list.scrollTop = isFirst ? 0 : list.scrollHeight;
    const frame = requestAnimationFrame(() => requestAnimationFrame(() => [...list.querySelectorAll("tbody tr:has(textarea)")].at(isFirst ? 0 : -1)?.querySelector("textarea").focus()));
    return () => cancelAnimationFrame(frame);
  }, [rows.length]);
  useEffect(() => { if (filter?.cell) box.current.scrollIntoView({ block: "nearest" }); }, [filter?.cell]);
  const isFilled = (row) => columns.some((column) => row[column]?.trim());
  const addRow = () => {
    choose("all");
    grown.current = true;
    table.change({ rows: [...rows, Object.fromEntries(columns.map((column) => [column, ""]))] });
  };
  const take = (added) => {
    choose("all");
    table.change({ rows: [...rows.filter(isFilled), ...added] });
    close();
  };
  const setRows = (next) => {
    table.change({ rows: filter ? mergedRows(rows, shown, next) : next });
    const left = new Set(next.map((row) => row[ROW])), gone = shown.filter((row) => !left.has(row[ROW]));
    const undo = () => table.change(({ rows: latest }) => ({ rows: gone.reduce((list, row) => list.toSpliced(bench.placeOf(row), 0, row), latest) }));
    if (gone.length) notify(t("test.rowsRemoved", { n: number(gone.length) }), "info", { label: t("test.undo"), run: undo });
  };
  const chooseTable = (id) => {
    draft.change((latest) => ({ ...latest, table: id }));
    close();
  };
  const openCell = (setting, index, at) => setOpen({ setting, at, detail: {
    title: t("test.detailTitle", { row: number(at + 1), name: setting.title }), item: itemOf(rows[at], binding), gold: golds[at], outcome: outcomes[index][at], content: setting.record?.content ?? setting.own,
  } });
  return html`<section class="card" ref=${box}>
    <div class="row table-head"><${TextInput} class="grow table-name" aria-label=${t("test.tableName")} value=${name} maxlength="200" onInput=${(text) => text.trim() && table.change({ name: text })} />
      <span class="help" role="status">${t("common.rows", { n: number(rows.length) })} · ${t(`editor.state_${table.state}`)}</span>
      <button type="button" onClick=${addRow}><${Icon} name="plus" />${t("test.addRow")}</button>
      <button type="button" onClick=${() => setOpen("import")}><${Icon} name="file" />${t("examples.import")}</button>
      <button type="button" class="plain" onClick=${() => download(`${name}.csv`, exportedTest(bench), "text/csv")}>${t("test.export")}</button>
      <button type="button" class="plain" disabled=${isBusy} onClick=${() => setOpen("table")}>${t("test.otherTable")}</button></div>
    ${open === "table" && html`<${ChooseTable} content=${draft.content} title=${draft.title} onCancel=${close} onChoose=${chooseTable} />`}
    <${Filters} ...${filtered} />
    <${DataTable} label=${t("test.table")} rows=${shown} columns=${columnsOf({ bench, filtered, isBusy, onOpen: openCell })} height=${520}
      numberOf=${(row) => bench.placeOf(row) + 1} onChange=${setRows} />
    <${WrongRows} draft=${draft} bench=${bench} filtered=${filtered} table=${table} />
    ${open === "import" && html`<${ImportDialog} columns=${columns} onClose=${close} onRows=${take} />`}
    ${open?.detail && html`<${CellDialog} detail=${open.detail} onClose=${close} onAgain=${() => { onAgain(open.setting, open.at); close(); }} />`}
  </section>`;
}
