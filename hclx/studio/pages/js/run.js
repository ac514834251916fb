// A run of a prompt, token by token: it can be stopped, gone on with, undone and done again.
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { events, plainText } from "./api.js";
import { notifyError } from "./parts/notices.js";

// A candidate is {text, tokens: [{text, logprob, top}], scores, end}; `written` is what it had before this run.
const emptyCandidate = (written = "") => ({ written, text: "", tokens: [], scores: null, end: null });

const failureOf = ({ message, code, status }) => ({ error: message, code, status });
const failureOfEvent = ({ retry_after: retryAfter, ...facts }) => failureOf({ ...facts, message: plainText({ ...facts, retryAfter }) ?? facts.message });

// Returns the state after an event of the server. Pure.
export function afterEvent(state, { name, data }) {
  if (name === "prompt") return { ...state, prompt: { ...data, warnings: data.warnings ?? [] } };
  if (name === "done") return state.state === "running" ? { ...state, state: "done" } : state; // a run that has failed is done too
  if (name === "error") return { ...state, state: data.code === "shutting_down" ? "broken" : "failed", ...failureOfEvent(data) };
  const n = data.n ?? 0, candidates = [...state.candidates];
  const before = candidates[n] ?? emptyCandidate();
  if (name === "token") candidates[n] = { ...before, text: before.text + data.text, tokens: [...before.tokens, data] };
  if (name === "scores") candidates[n] = { ...before, scores: data.choices, end: data };
  if (name === "end") candidates[n] = { ...before, text: data.text ?? before.text, end: data };
  return { ...state, candidates };
}

// Tokens come faster than a page is drawn: takes events, and tells the state at most once a frame.
class Frames {
  constructor(state, tell) {
    this.state = state;
    this.tell = tell;
    this.isAsked = false;
    this.added = new Map();
  }
  take(event) {
    if (event.name === "token") {
      const n = event.data.n ?? 0;
      this.added.set(n, [...(this.added.get(n) ?? []), event.data]);
    } else {
      this.flush();
      this.state = afterEvent(this.state, event);
    }
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.flush();
      this.tell(this.state);
    });
  }
  flush() {
    if (!this.added.size) return;
    const candidates = [...this.state.candidates];
    for (const [n, tokens] of this.added) {
      const before = candidates[n] ?? emptyCandidate();
      candidates[n] = { ...before, text: before.text + tokens.map((token) => token.text).join(""), tokens: [...before.tokens, ...tokens] };
    }
    this.added.clear();
    this.state = { ...this.state, candidates };
  }
}

// Returns {run, isRunning, start, stop, undo, redo, canUndo, canRedo, clear}.
//   run: {state: "running"|"done"|"stopped"|"broken"|"failed", prompt, candidates, error, item, content}
//     and of a failure error (a text), code and status
//   start(content, item, {written, keepTokens, path, body, headers, isQuiet}): `written` goes on behind a text, which has
//     keepTokens; `path`, `body` and `headers` are those of another route with the same events; isQuiet: no notice of failures
export function useRun() {
  const [history, setHistory] = useState({ runs: [], at: -1 });
  const [isRunning, setRunning] = useState(false);
  const abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);

  const put = (run) => setHistory(({ runs, at }) => ({ runs: runs.map((before, index) => (index === at ? run : before)), at }));

  const start = useCallback(async (content, item, { written = "", keepTokens = [], path = "api/run", body: own, headers, isQuiet = false } = {}) => {
    abort.current?.abort();
    const control = new AbortController();
    abort.current = control;
    const first = { ...emptyCandidate(written), text: written, tokens: keepTokens };
    let run = { state: "running", prompt: null, candidates: [first], error: null, item, content };
    setHistory(({ runs, at }) => ({ runs: [...runs.slice(0, at + 1), run].slice(-50), at: Math.min(at + 1, 49) }));
    setRunning(true);
    const frames = new Frames(run, (state) => { if (abort.current === control) put(state); });
    try {
      const body = own ?? { content, items: [item], stream: true, ...(written ? { written } : {}) };
      for await (const event of events(path, body, { signal: control.signal, headers })) {
        const { name, data } = event;
        if (name === "end" && written) data.text = written + data.text;
        frames.take(event);
      }
      frames.flush();
      run = frames.state;
      if (run.state === "running") run = { ...run, state: "broken" };
    } catch (error) {
      frames.flush();
      run = frames.state;
      if (error.name === "AbortError") run = { ...run, state: "stopped" };
      else if (["offline", "broken"].includes(error.code) && run.prompt) run = { ...run, state: "broken", error: error.message };
      else {
        run = { ...run, state: "failed", ...failureOf(error) };
        if (!isQuiet) notifyError(error);
      }
    }
    if (abort.current === control) {
      frames.tell = () => {};
      put(run);
      setRunning(false);
    }
    return run;
  }, []);

  const stop = useCallback(() => abort.current?.abort(), []);
  const move = (by) => setHistory(({ runs, at }) => ({ runs, at: Math.max(-1, Math.min(runs.length - 1, at + by)) }));
  return {
    run: history.runs[history.at] ?? null, isRunning, start, stop,
    undo: () => move(-1), redo: () => move(1), canUndo: history.at >= 0 && !isRunning, canRedo: history.at < history.runs.length - 1 && !isRunning,
    clear: () => setHistory({ runs: [], at: -1 }),
  };
}
