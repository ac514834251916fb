// The runs of a prompt's tests as a page has them: their answers in memory, and in the browser's store.
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { addRun, cellKey, cellsOf, keepCell, runsOf } from "./test_store.js";

const DRAW_MS = 250; // answers come faster than ten thousand rows are counted

// Returns {runs, cells(run), version, add(run), put(cell), load(run)}; `version` grows as answers come.
export function useTestRuns(prompt) {
  const [runs, setRuns] = useState(null), [version, setVersion] = useState(0);
  const own = useRef({ cells: new Map(), timer: 0 });
  useEffect(() => {
    runsOf(prompt).then(setRuns);
    return () => clearTimeout(own.current.timer);
  }, [prompt]);
  const draw = () => {
    own.current.timer ||= setTimeout(() => {
      own.current.timer = 0;
      setVersion((number) => number + 1);
    }, DRAW_MS);
  };
  const load = useCallback(async (run) => {
    if (own.current.cells.has(run)) return;
    own.current.cells.set(run, new Map());
    const kept = await cellsOf(run);
    const now = own.current.cells.get(run);
    own.current.cells.set(run, new Map([...kept, ...now]));
    draw();
  }, []);
  const add = useCallback((run) => {
    own.current.cells.set(run.id, new Map());
    setRuns((before) => [run, ...(before ?? [])]);
    addRun(run);
  }, []);
  const put = useCallback((cell) => {
    own.current.cells.get(cell.run)?.set(cellKey(cell.row, cell.repeat), cell);
    keepCell(cell);
    draw();
  }, []);
  const none = useRef(new Map());
  const cells = (run) => own.current.cells.get(run) ?? none.current;
  return { runs, cells, version, add, put, load };
}
