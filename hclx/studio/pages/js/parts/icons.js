// Icons of one stroke, drawn in a square of 24.
import { html } from "../html.js";

const PATHS = {
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
  prompts: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  batches: "M4 6h16M4 12h16M4 18h10M18 16l3 2-3 2z",
  tune: "M5 8h8M17 8h2M5 16h2M11 16h8M15 6v4M9 14v4",
  apps: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM16.5 13v7M13 16.5h7",
  usage: "M4 20h16M7 17v-5M12 17V6M17 17v-8",
  people: "M9 11a3 3 0 100-6 3 3 0 000 6zM3 20c0-4 3-6 6-6s6 2 6 6M16 11a2.5 2.5 0 100-5M17 14c2 0 4 2 4 5",
  play: "M7 5l12 7-12 7z",
  stop: "M6 6h12v12H6z",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 010 8",
  redo: "M15 7l5 5-5 5M20 12H10a6 6 0 000 8",
  plus: "M12 5v14M5 12h14",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  copy: "M8 8h11v12H8zM5 16V4h11",
  up: "M12 19V6M6 11l6-6 6 6",
  down: "M12 5v13M6 13l6 6 6-6",
  share: "M7 12a2 2 0 11-4 0 2 2 0 014 0zM20 6a2 2 0 11-4 0 2 2 0 014 0zM20 18a2 2 0 11-4 0 2 2 0 014 0zM7 11l9-4M7 13l9 4",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5",
  menu: "M4 7h16M4 12h16M4 17h16",
  out: "M14 4h5v16h-5M4 12h10M10 8l4 4-4 4",
  check: "M5 12l5 5 9-10",
  cross: "M6 6l12 12M18 6L6 18",
  pause: "M8 5v14M16 5v14",
  spark: "M12 3l2 6 6 3-6 3-2 6-2-6-6-3 6-3z",
};

// An icon beside a text; it is not read aloud.
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
  <path d=${PATHS[name]} fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
</svg>`;
