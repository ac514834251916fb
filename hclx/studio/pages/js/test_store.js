// What tests have brought, in this browser: runs, their answers, and what is compared. Nothing of it is lost by a reload.
//
// A run is {id, prompt, title, created, content, mark}: `mark` tells contents apart, so that answers of other settings
// are not taken for those of these. Its cells are {run, row, repeat, ...answer}: `row` is the mark of what was asked,
// so that a row keeps its answers wherever it moves, and loses them when its text changes.

const NAME = "hclx-tests", VERSION = 1;
const MOST_RUNS = 20; // of a prompt; the oldest go

let opened = null;
const answered = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

function database() {
  opened ??= (() => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const { result } = request;
      result.createObjectStore("runs", { keyPath: "id" }).createIndex("prompt", "prompt");
      result.createObjectStore("cells", { keyPath: ["run", "row", "repeat"] });
      result.createObjectStore("settings");
      result.createObjectStore("tables"); // edits that the server does not have yet
    };
    return answered(request);
  })();
  opened.catch(() => { opened = null; });
  return opened;
}

const store = async (name, mode = "readonly") => (await database()).transaction(name, mode).objectStore(name);
const ofRun = (run) => IDBKeyRange.bound([run], [run, []]);

// Reads or writes what is kept under a key in "settings" or "tables"; undefined: nothing, as where storage is switched off.
export async function kept(name, key) {
  try {
    return await answered((await store(name)).get(key));
  } catch {
    return undefined;
  }
}
export async function keep(name, key, value) {
  try {
    const place = await store(name, "readwrite");
    await answered(value === undefined ? place.delete(key) : place.put(value, key));
  } catch { /* it then holds for this page */ }
}

// The runs of a prompt, the newest first.
export async function runsOf(prompt) {
  try {
    const runs = await answered((await store("runs")).index("prompt").getAll(prompt));
    return runs.sort((a, b) => b.created - a.created);
  } catch {
    return [];
  }
}

export async function addRun(run) {
  try {
    await answered((await store("runs", "readwrite")).put(run));
    for (const old of (await runsOf(run.prompt)).slice(MOST_RUNS)) await removeRun(old.id);
  } catch { /* it then holds for this page */ }
}

async function removeRun(id) {
  try {
    await answered((await store("runs", "readwrite")).delete(id));
    await answered((await store("cells", "readwrite")).delete(ofRun(id)));
  } catch { /* nothing was kept */ }
}

// The cells of a run as a map from their keys.
export async function cellsOf(run) {
  try {
    const cells = await answered((await store("cells")).getAll(ofRun(run)));
    return new Map(cells.map((cell) => [cellKey(cell.row, cell.repeat), cell]));
  } catch {
    return new Map();
  }
}

export async function keepCell(cell) {
  try {
    await answered((await store("cells", "readwrite")).put(cell));
  } catch { /* full or switched off: the page has it */ }
}

export const cellKey = (row, repeat) => `${repeat}:${row}`;

// A short mark of a text (FNV-1a, two of 32 bits), and a seed of it.
function hash(text, start) {
  let value = start;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
// Objects in one order of names, so that equal ones are written alike.
const ordered = (_, value) =>
  value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
export const markOf = (value) => {
  const text = JSON.stringify(value, ordered);
  return hash(text, 0x811c9dc5).toString(36) + hash(text, 0x1234567).toString(36);
};
// The seed of a row's repeat: the same for all settings, so that they differ in nothing else.
export const seedOf = (row, repeat) => hash(`${row}/${repeat}`, 0x811c9dc5);
