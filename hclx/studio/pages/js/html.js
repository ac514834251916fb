// Binds htm's templates to Preact, and passes both on: pages import from here alone.
import { h, render, createContext, Fragment } from "../vendor/preact.mjs";
import htm from "../vendor/htm.mjs";

export const html = htm.bind(h);
export { render, createContext, Fragment };
export {
  useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState,
} from "../vendor/hooks.mjs";
