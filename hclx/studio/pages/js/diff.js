// What differs between two contents, part by part, as people know them. Pure functions.
import { choicesOf, hasChoices } from "./content.js";

const MOST_CELLS = 4_000_000; // of the table of a comparison; more is told as a whole that was replaced

// Compares two lists by the keys of their entries. Returns [{kind: "same"|"removed"|"added", entry}], removed before added.
export function listDiff(before, after, keyOf = (entry) => entry) {
  const a = before.map(keyOf), b = after.map(keyOf);
  let first = 0, last = 0;
  while (first < a.length && first < b.length && a[first] === b[first]) first++;
  while (last < a.length - first && last < b.length - first && a.at(-1 - last) === b.at(-1 - last)) last++;
  const same = (entry) => ({ kind: "same", entry });
  const middle = middleDiff(before.slice(first, before.length - last), after.slice(first, after.length - last), keyOf);
  return [...after.slice(0, first).map(same), ...middle, ...after.slice(after.length - last).map(same)];
}

function middleDiff(before, after, keyOf) {
  const a = before.map(keyOf), b = after.map(keyOf), width = b.length + 1;
  const removed = (entry) => ({ kind: "removed", entry }), added = (entry) => ({ kind: "added", entry });
  if (a.length * b.length > MOST_CELLS) return [...before.map(removed), ...after.map(added)];
  const longest = new Uint32Array((a.length + 1) * width); // of the common lists of what is left of both
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] = a[i] === b[j] ? longest[at + width + 1] + 1 : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  const result = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      result.push({ kind: "same", entry: after[j] });
      i++;
      j++;
    } else if (j === b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) result.push(removed(before[i++]));
    else result.push(added(after[j++]));
  }
  return result;
}

// Compares texts by lines. Empty lines at the end of both tell nothing, and are left out.
export function lineDiff(before, after) {
  const [a, b] = [before, after].map((text) => /\n*$/.exec(text)[0].length), n_last = Math.min(a, b);
  const lines = (text) => text.slice(0, text.length - n_last).split("\n");
  return listDiff(lines(before), lines(after));
}

// Compares tables. Returns [{kind: "removed"|"added"|"changed", row, before, after}] without what is the same; `row` counts from 1.
export function rowDiff(before, after) {
  const steps = listDiff(before, after, sorted), changes = [];
  let row = 0, free = []; // those removed just before, of which the next that is added is taken for the new form
  for (const { kind, entry } of steps) {
    if (kind !== "removed") row++;
    if (kind === "same") free = [];
    else if (kind === "removed") {
      const change = { kind, row: row + 1 + free.length, before: entry, after: null };
      changes.push(change);
      free.push(change);
    } else if (free.length) Object.assign(free.shift(), { kind: "changed", row, after: entry });
    else changes.push({ kind, row, before: null, after: entry });
  }
  return changes;
}

// JSON with the keys in order, so that equal contents have equal texts.
function sorted(value) {
  return JSON.stringify(value, (_, part) =>
    (part && typeof part === "object" && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part));
}

// Whether two prompts {title, content} are the same but for what was typed to try them.
export const isSame = (before, after) => asJson(before, sorted) === asJson(after, sorted);
function asJson({ title, content }, write) {
  const { item, ...rest } = content;
  return write({ title, ...rest });
}

const jsonOf = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2));
const texts = ["directive", "input", "answer", "separator"];
const values = ["model", "view", "n", "logprobs", "block", "table"];

// The parts of a prompt: name -> text. Knobs are named as those of `knobs` in words.
function partsOf({ title, content }) {
  const { document = {} } = content, parts = new Map([["title", title]]);
  for (const name of texts) parts.set(name, jsonOf(document[name]));
  for (const [key, text] of hasChoices(document) ? Object.entries(choicesOf(document)) : []) parts.set(`choice ${key}`, jsonOf(text));
  for (const name of ["grammar", "parser", "budget", "answer_field"]) parts.set(name, jsonOf(document[name]));
  parts.set("stop", [document.stop ?? []].flat().map(String).join("\n⏎\n"));
  for (const [name, value] of Object.entries(document.sampling ?? {})) parts.set(`knob ${name}`, jsonOf(value));
  for (const name of values) parts.set(name, jsonOf(content[name]));
  parts.set("system", jsonOf(content.chat?.system));
  parts.set("turns", (content.chat?.turns ?? []).flatMap(({ user, assistant }) => [user, assistant]).join("\n"));
  return parts;
}

const rowsOf = ({ content }) => (Array.isArray(content.document?.examples) ? content.document.examples : []);

// Returns what differs between two prompts {title, content}: [{name, kind: "text", before, after} | {name: "examples", kind: "rows", rows}].
export function changedParts(before, after) {
  const a = partsOf(before), b = partsOf(after), names = [...new Set([...a.keys(), ...b.keys()])];
  const changes = names.filter((name) => (a.get(name) ?? "") !== (b.get(name) ?? ""))
    .map((name) => ({ name, kind: "text", before: a.get(name) ?? "", after: b.get(name) ?? "" }));
  const rows = rowDiff(rowsOf(before), rowsOf(after));
  return rows.length ? [...changes, { name: "examples", kind: "rows", rows }] : changes;
}

export const rawJson = (prompt) => asJson(prompt, (value) => JSON.stringify(value, null, 2));
