// Loads something again and again while it may change. A server that is away for a while loses nothing that is shown.
import { useCallback, useEffect, useRef, useState } from "../html.js";

// load: () -> promise; isLive(value): whether it may change still. Returns {value, error, isAway, reload}.
export function usePolled(load, isLive, seconds, inputs = []) {
  const [state, setState] = useState({ value: null, error: null, isAway: false });
  const timer = useRef(0), isHere = useRef(true);
  const look = useCallback(async () => {
    clearTimeout(timer.current);
    let next = true;
    try {
      const value = await load();
      if (!isHere.current) return;
      setState({ value, error: null, isAway: false });
      next = isLive(value);
    } catch (error) {
      if (!isHere.current) return;
      const isAway = error.code === "offline" || error.status >= 500 || error.status === 429;
      setState((before) => (before.value && isAway ? { ...before, isAway: true } : { value: null, error, isAway: false }));
      next = isAway;
    }
    if (next && isHere.current) timer.current = setTimeout(look, seconds * 1000);
  }, inputs);
  useEffect(() => {
    isHere.current = true;
    look();
    return () => {
      isHere.current = false;
      clearTimeout(timer.current);
    };
  }, [look]);
  return { ...state, reload: look };
}
