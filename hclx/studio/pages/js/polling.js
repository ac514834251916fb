// Asks the server again and again how something stands: gently, less often while the page is hidden, and through restarts.
import { useCallback, useEffect, useRef, useState } from "./html.js";

const SEEN_MS = 1000, HIDDEN_MS = 10_000, AWAY_MS = 2000;

// Returns {value, error, isAway, wasAway, reload}. isLive(value) tells whether it may still change.
//   isAway: the server is not reached just now; wasAway: it was, and has come back.
export function usePolling(load, isLive, inputs = []) {
  const [state, setState] = useState({ value: null, error: null, isAway: false, wasAway: false });
  const own = useRef({ timer: 0, turn: 0 });
  const ask = useCallback(async () => {
    const turn = ++own.current.turn;
    clearTimeout(own.current.timer);
    let next = HIDDEN_MS;
    try {
      const value = await load();
      if (turn !== own.current.turn) return;
      setState((before) => ({ value, error: null, isAway: false, wasAway: before.wasAway || before.isAway }));
      if (isLive(value) && !document.hidden) next = SEEN_MS;
    } catch (error) {
      if (turn !== own.current.turn) return;
      const isAway = error.status === 0 || error.status >= 502;
      setState((before) => ({ ...before, error: isAway ? null : error, isAway }));
      if (isAway) next = AWAY_MS;
    }
    own.current.timer = setTimeout(ask, next);
  }, inputs);
  useEffect(() => {
    ask();
    const seen = () => { if (!document.hidden) ask(); };
    document.addEventListener("visibilitychange", seen);
    return () => {
      own.current.turn += 1;
      clearTimeout(own.current.timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [ask]);
  return { ...state, reload: ask };
}

const WINDOW_MS = 60_000, GAP_MS = 15_000;

// How many rows a minute end, by the counts of the last minute, each [milliseconds, done]; null as long as that is not known.
export function perMinute(samples) {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || last[0] - first[0] < 2000 || last[1] <= first[1]) return null;
  return ((last[1] - first[1]) * 60_000) / (last[0] - first[0]);
}
// A sample more; they begin anew where the server was away, or rows run again.
export function withSample(samples, now, done) {
  const last = samples.at(-1), isBroken = last && (last[1] > done || now - last[0] > GAP_MS);
  return [...(isBroken ? [] : samples.filter(([at]) => now - at < WINDOW_MS)), [now, done]];
}
