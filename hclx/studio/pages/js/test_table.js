// The table of a test: loaded, saved by itself, and never lost. What is not saved yet is kept in the browser too.
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { api, whenBack } from "./api.js";
import { t } from "./words.js";
import { keep, kept } from "./test_store.js";
import { notify, notifyError } from "./parts/notices.js";

const SAVE_MS = 900;
const KEEP_MS = 300;
const MANY = 2000; // rows that take long to keep in the browser: it is done where the server does not take them
const RETRY_MS = 4000;

// Rows are objects of texts; this tells them apart wherever they move, and goes along when they are copied.
export const ROW = Symbol("row");
let n_rows = 0;
export const numbered = (rows) => rows.map((row) => (row[ROW] === undefined ? { ...row, [ROW]: n_rows++ } : row));

const asLists = ({ columns, rows }) => rows.map((row) => columns.map((name) => row[name] ?? ""));
const asObjects = ({ columns, rows }) => numbered(rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? ""]))));
const bodyOf = (value) => ({ name: value.name, columns: value.columns, rows: asLists(value) });
const valueOf = (table) => ({ name: table.name, columns: table.columns, rows: asObjects(table) });

// Puts the rows that are shown, as they were changed, in place of what they were among all rows; new ones stand behind them.
export function mergedRows(all, shown, next) {
  const ids = (rows) => new Set(rows.map((row) => row[ROW])), before = ids(shown), after = ids(next);
  const left = all.filter((row) => !before.has(row[ROW]) || after.has(row[ROW]));
  const last = left.findLastIndex((row) => before.has(row[ROW])), rest = [...next], merged = [];
  left.forEach((row, at) => {
    merged.push(before.has(row[ROW]) ? rest.shift() : row);
    if (at === last) merged.push(...rest.splice(0));
  });
  return numbered([...merged, ...rest]);
}

// Returns {value: {name, columns, rows}, state, error, change, reload}; change takes some of a value, or a function to that. States are those of useDraft but for conflicts:
// where somebody else has changed the table, theirs is shown and one's own becomes another table.
export function useTable(id) {
  const [value, setValue] = useState(null), [state, setState] = useState("saved"), [error, setError] = useState(null);
  const own = useRef({ revision: 0, latest: null, stored: null, timer: 0, keeper: 0, saving: null });

  const take = (table) => {
    const latest = valueOf(table);
    Object.assign(own.current, { revision: table.revision, latest, stored: latest });
    setValue(latest);
  };
  const split = async (mine) => {
    const name = t("editor.copyOf", { title: mine.name });
    await api.post("api/tables", { ...bodyOf(mine), name });
    take(await api.get(`api/tables/${id}`));
    await keep("tables", id);
    setState("saved");
    notify(t("test.tableSplit", { name }), "error");
  };
  const save = useCallback(async () => {
    const draft = own.current;
    clearTimeout(draft.timer);
    if (draft.saving) await draft.saving.catch(() => {});
    if (draft.latest === draft.stored) return;
    const sent = draft.latest;
    setState("saving");
    draft.saving = api.put(`api/tables/${id}`, { ...bodyOf(sent), revision: draft.revision });
    try {
      const { revision } = await draft.saving;
      Object.assign(draft, { revision, stored: sent });
      if (draft.latest !== sent) return save();
      clearTimeout(draft.keeper);
      await keep("tables", id);
      setState("saved");
    } catch (failure) {
      if (failure.status === 409) return split(draft.latest).catch(notifyError);
      setState("away");
      if (failure.code !== "offline" && failure.status !== 503) notifyError(failure);
      draft.timer = setTimeout(save, RETRY_MS);
    } finally {
      draft.saving = null;
    }
  }, [id]);

  const change = useCallback((changes) => {
    const draft = own.current, next = typeof changes === "function" ? changes(draft.latest) : changes;
    draft.latest = { ...draft.latest, ...next, rows: numbered(next.rows ?? draft.latest.rows) };
    setValue(draft.latest);
    setState("dirty");
    clearTimeout(draft.keeper);
    const wait = draft.latest.rows.length > MANY ? 2 * SAVE_MS : KEEP_MS;
    draft.keeper = setTimeout(() => keep("tables", id, { revision: draft.revision, ...bodyOf(draft.latest) }), wait);
    clearTimeout(draft.timer);
    draft.timer = setTimeout(save, SAVE_MS);
  }, [id]);

  const load = useCallback(async () => {
    try {
      const [table, local] = [await whenBack(() => api.get(`api/tables/${id}`)), await kept("tables", id)];
      take(table);
      setError(null);
      if (!local) return;
      if (local.revision !== table.revision) await split(valueOf(local));
      else change(valueOf(local));
    } catch (failure) {
      setError(failure);
    }
  }, [id]);

  useEffect(() => {
    load();
    const leaving = (event) => { if (own.current.latest !== own.current.stored) event.preventDefault(); };
    window.addEventListener("beforeunload", leaving);
    return () => {
      window.removeEventListener("beforeunload", leaving);
      clearTimeout(own.current.timer);
      if (own.current.latest !== own.current.stored) save();
    };
  }, [id]);
  return { value, state, error, change, reload: load };
}
