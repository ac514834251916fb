// The draft of a prompt: loaded, saved by itself, and never lost. What is not saved yet is kept in the browser too.
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { ApiError, api, whenBack } from "./api.js";

const SAVE_MS = 700;
const RETRY_MS = 4000;
const keyOf = (id) => `hclx-draft-${id}`;

function kept(id) {
  try {
    return JSON.parse(localStorage.getItem(keyOf(id)));
  } catch {
    return null;
  }
}
function keep(id, value) {
  try {
    if (value) localStorage.setItem(keyOf(id), JSON.stringify(value));
    else localStorage.removeItem(keyOf(id));
  } catch { /* full or switched off: the server has it a second later */ }
}

// Returns {prompt, content, title, state, change, setTitle, reload, saved, error, conflict, take}.
//   state: "saved", "dirty", "saving", "away" (the server is not reached) or "conflict" (somebody else has changed it)
//   change: takes a content, or a function from content to content
//   saved: resolves to the revision once the server has everything
//   conflict: the prompt as the server has it; take("mine" | "theirs") ends the conflict
export function useDraft(id) {
  const [prompt, setPrompt] = useState(null);
  const [value, setValue] = useState(null); // {title, content}
  const [state, setState] = useState("saved");
  const [conflict, setConflict] = useState(null);
  const [error, setError] = useState(null);
  const own = useRef({ revision: 0, latest: null, stored: null, timer: 0, saving: null });

  const load = useCallback(async () => {
    try {
      const loaded = await whenBack(() => api.get(`api/prompts/${id}`));
      const stored = { title: loaded.title, content: loaded.content };
      const local = kept(id);
      const isUnsaved = local && JSON.stringify(local.value) !== JSON.stringify(stored);
      Object.assign(own.current, { revision: loaded.revision, stored, latest: isUnsaved ? local.value : stored });
      setPrompt(loaded);
      setValue(own.current.latest);
      setError(null);
      if (!isUnsaved) keep(id, null);
      else if (local.revision === loaded.revision) save();
      else { setConflict(loaded); setState("conflict"); }
    } catch (failure) {
      setError(failure);
    }
  }, [id]);

  const save = useCallback(async () => {
    const draft = own.current;
    clearTimeout(draft.timer);
    if (draft.saving) await draft.saving.catch(() => {});
    if (draft.latest === draft.stored) return draft.revision;
    const sent = draft.latest;
    setState("saving");
    draft.saving = api.put(`api/prompts/${id}`, { ...sent, revision: draft.revision });
    try {
      const { revision } = await draft.saving;
      Object.assign(draft, { revision, stored: sent });
      if (draft.latest !== sent) return save();
      keep(id, null);
      setState("saved");
      return revision;
    } catch (failure) {
      if (failure.status === 409) {
        setConflict(failure.body.current);
        setState("conflict");
      } else {
        setState("away");
        setError(failure.code === "offline" || failure.status === 503 ? null : failure);
        draft.timer = setTimeout(() => save().catch(() => {}), RETRY_MS);
      }
      throw failure;
    } finally {
      draft.saving = null;
    }
  }, [id]);

  const put = useCallback((next) => {
    const draft = own.current;
    if (next === draft.latest) return;
    draft.latest = next;
    setValue(next);
    keep(id, { revision: draft.revision, value: next });
    setState((before) => (before === "conflict" ? before : "dirty"));
    clearTimeout(draft.timer);
    draft.timer = setTimeout(() => save().catch(() => {}), SAVE_MS);
  }, [id]);

  const change = useCallback((next) => {
    const { latest } = own.current;
    const content = typeof next === "function" ? next(latest.content) : next;
    if (content !== latest.content) put({ ...latest, content });
  }, [put]);
  const setTitle = useCallback((title) => put({ ...own.current.latest, title }), [put]);

  // Ends a conflict. "theirs" takes the server's prompt; "mine" writes this one over it; the other is a copy either way.
  const take = useCallback(async (which, copyTitle) => {
    const draft = own.current, theirs = { title: conflict.title, content: conflict.content };
    const lost = which === "mine" ? theirs : draft.latest;
    const copy = await api.post("api/prompts", { ...lost, title: copyTitle(lost.title) });
    Object.assign(draft, { revision: conflict.revision, stored: theirs });
    setConflict(null);
    setState("saved");
    if (which === "theirs") {
      Object.assign(draft, { latest: theirs });
      setValue(theirs);
      keep(id, null);
    } else await save();
    return copy;
  }, [conflict, id]);

  useEffect(() => {
    load();
    const leaving = (event) => {
      if (own.current.latest !== own.current.stored) event.preventDefault();
    };
    window.addEventListener("beforeunload", leaving);
    return () => {
      window.removeEventListener("beforeunload", leaving);
      clearTimeout(own.current.timer);
      if (own.current.latest && own.current.latest !== own.current.stored) save().catch(() => {});
    };
  }, [id]);

  const saved = useCallback(async () => {
    if (conflict) throw new ApiError(409, "conflict", "");
    return save();
  }, [conflict, save]);
  return { id, prompt, ...value, state, error, conflict, change, setTitle, reload: load, saved, take };
}
