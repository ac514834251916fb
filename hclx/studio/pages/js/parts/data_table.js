// A table of texts that is edited in place. Only the rows in sight are drawn, so that ten thousand scroll.
import { html, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { number, t } from "../words.js";
import { Icon } from "./icons.js";
import { TextArea } from "./text_input.js";

const ROW = 62; // the height of a row in pixels, as style.css has it
const BESIDE = 8; // rows that are drawn above and below those in sight

// The cells of a table that a spreadsheet has copied: lines of texts with tabs between them, in quotes where they have
// line breaks; null for any other text.
function cellsOf(text) {
  if (!text.includes("\t")) return null;
  const rows = [[]], pattern = /(?:"((?:[^"]|"")*)"|([^\t\n\r]*))(\t|\r?\n|$)/gy;
  for (let match; (match = pattern.exec(text)) && pattern.lastIndex <= text.length; ) {
    rows.at(-1).push(match[1]?.replaceAll('""', '"') ?? match[2]);
    if (match[3] !== "\t") {
      if (pattern.lastIndex >= text.length) break;
      rows.push([]);
    }
  }
  return rows;
}

// columns: [{name, label, options?: texts to choose among, cell?: (row, index) => html, isNumber?}]
// rows: objects, column -> text. onChange gets the new rows; without it nothing can be edited.
// label: what the table is, for those who hear it. height: the most in pixels. numberOf(row, index): its number, from 1.
// newRow(): makes an empty row, so that Enter in the last row adds one; controls: a ref that gets {addRow}.
export function DataTable({ label, columns, rows, onChange, height = 420, rowClass, numberOf = (_, index) => index + 1, newRow, controls }) {
  const box = useRef(null), [top, setTop] = useState(0), [dragged, setDragged] = useState(null);
  const focused = useRef(null), [, setTurn] = useState(0);
  const inSight = Math.ceil(height / ROW);
  const first = Math.max(0, Math.floor(top / ROW) - BESIDE);
  const last = Math.min(rows.length, first + inSight + 2 * BESIDE);
  const shown = useMemo(() => rows.slice(first, last), [rows, first, last]);
  // What is to be focused may have to be scrolled to first, and is drawn only then.
  useLayoutEffect(() => {
    const goal = focused.current;
    if (!goal || goal.index >= rows.length) return;
    const { scrollTop, clientHeight } = box.current, above = goal.index * ROW, below = above + 2 * ROW; // the head is a row, too
    if (above < scrollTop) box.current.scrollTop = above;
    else if (below > scrollTop + clientHeight) box.current.scrollTop = below - clientHeight;
    const element = box.current.querySelector(goal.selector);
    if (!element) return;
    focused.current = null;
    element.focus({ preventScroll: true });
  });
  const goTo = (index, at) => { focused.current = { index, selector: `[data-cell="${index}-${at}"]` }; setTurn((turn) => turn + 1); };
  const addRow = () => {
    onChange([...rows, newRow()]);
    goTo(rows.length, columns.findIndex((column) => !column.cell));
  };
  if (controls) controls.current = { addRow };
  const onEnter = (index, at) => {
    if (index + 1 < rows.length) goTo(index + 1, at);
    else if (newRow) addRow();
  };
  // Cells that were copied from a spreadsheet fill the cells from here on, and rows behind the last.
  const onPaste = (event, index, at) => {
    const cells = cellsOf(event.clipboardData.getData("text/plain"));
    if (!cells) return;
    event.preventDefault();
    const names = columns.slice(at).filter((column) => !column.cell).map((column) => column.name), filled = [...rows];
    cells.forEach((texts, offset) => {
      if (index + offset >= filled.length && !newRow) return;
      const row = { ...(filled[index + offset] ?? newRow()) };
      texts.slice(0, names.length).forEach((text, place) => { row[names[place]] = text; });
      filled[index + offset] = row;
    });
    onChange(filled);
  };
  const put = (index, name, text) => onChange(rows.map((row, at) => (at === index ? { ...row, [name]: text } : row)));
  const remove = (index) => onChange(rows.filter((_, at) => at !== index));
  const move = (from, to) => {
    if (to < 0 || to >= rows.length || from === to) return;
    const moved = [...rows];
    moved.splice(to, 0, ...moved.splice(from, 1));
    focused.current = { index: to, selector: `[data-handle="${to}"]` };
    onChange(moved);
  };
  const onKey = (event, index) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    move(index, index + by);
  };
  const cell = (row, index, column, at) => {
    if (column.cell) return column.cell(row, index);
    const name = t("table.cell", { column: column.label ?? column.name, row: numberOf(row, index) });
    if (!onChange) return html`<div class="cell-text" title=${row[column.name]}>${row[column.name]}</div>`;
    if (column.options) {
      const options = column.options.includes(row[column.name]) ? column.options : [row[column.name] ?? "", ...column.options];
      return html`<select aria-label=${name} data-cell=${`${index}-${at}`} onKeyDown=${(event) => event.key === "Enter" && (event.preventDefault(), onEnter(index, at))} value=${row[column.name] ?? ""} onChange=${(event) => put(index, column.name, event.currentTarget.value)}>
        ${options.map((option) => html`<option key=${option} value=${option} selected=${option === (row[column.name] ?? "")}>${option}</option>`)}</select>`;
    }
    return html`<div class="cell"><${TextArea} rows=${2} aria-label=${name} data-cell=${`${index}-${at}`} by="enter" onSubmit=${() => onEnter(index, at)}
      onPaste=${(event) => onPaste(event, index, at)} value=${row[column.name] ?? ""} onInput=${(text) => put(index, column.name, text)} /></div>`;
  };
  return html`<div class="scroll data-table" ref=${box} style=${{ maxHeight: `${height}px` }} tabindex="0" role="region" aria-label=${label}
      onScroll=${(event) => setTop(event.currentTarget.scrollTop)}>
    <table aria-rowcount=${rows.length + 1}>
      <caption class="hidden">${label}</caption>
      <thead><tr>
        <th scope="col" class="narrow">#</th>
        ${columns.map((column) => html`<th key=${column.name} scope="col" class=${column.isNumber ? "number" : ""}>${column.label ?? column.name}</th>`)}
        ${onChange && html`<th scope="col" class="narrow"><span class="hidden">${t("common.remove")}</span></th>`}
      </tr></thead>
      <tbody>
        ${first > 0 && html`<tr key="above" aria-hidden="true"><td class="spacer" colspan=${columns.length + 2} style=${{ height: `${first * ROW}px` }}></td></tr>`}
        ${shown.map((row, offset) => {
          const index = first + offset;
          return html`<tr key=${index} aria-rowindex=${index + 2} class=${rowClass?.(row, index) ?? ""}
              onDragOver=${(event) => dragged !== null && event.preventDefault()}
              onDrop=${(event) => { event.preventDefault(); if (dragged !== null) move(dragged, index); setDragged(null); }}>
            <td class="narrow">${onChange ? html`<button type="button" class="plain handle" draggable="true" data-handle=${index}
                aria-label=${t("table.move", { row: numberOf(row, index) })} title=${t("table.moveHelp")} onKeyDown=${(event) => onKey(event, index)}
                onDragStart=${(event) => { event.dataTransfer.setData("text/plain", String(index)); setDragged(index); }}
                onDragEnd=${() => setDragged(null)}>${number(numberOf(row, index))}</button>` : number(numberOf(row, index))}</td>
            ${columns.map((column, at) => html`<td key=${column.name} class=${column.isNumber ? "number" : ""}>${cell(row, index, column, at)}</td>`)}
            ${onChange && html`<td class="narrow"><button type="button" class="plain" aria-label=${t("table.remove", { row: numberOf(row, index) })}
              onClick=${() => remove(index)}><${Icon} name="trash" /></button></td>`}
          </tr>`;
        })}
        ${last < rows.length && html`<tr key="below" aria-hidden="true"><td class="spacer" colspan=${columns.length + 2} style=${{ height: `${(rows.length - last) * ROW}px` }}></td></tr>`}
      </tbody>
    </table>
  </div>`;
}
