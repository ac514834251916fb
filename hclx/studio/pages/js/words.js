// The texts of the pages in the language of the reader: one file a language in words/.
const LANGUAGES = ["ko", "en"];
const KEY = "hclx-language";

let words = {};
export let language = "ko";

function preferred() {
  let kept = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch { /* storage may be switched off */ }
  const asked = kept ?? navigator.language?.slice(0, 2);
  return LANGUAGES.includes(asked) ? asked : "ko";
}

// Loads a language, by default the reader's; awaited once before anything is drawn.
export async function loadWords(name = preferred()) {
  words = (await import(`./words/${name}.js`)).default;
  language = name;
  document.documentElement.lang = name;
}

export function keepLanguage(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch { /* it then holds for this page */ }
  return loadWords(name);
}

// Returns a text by its key, such as t("editor.run"); {name} in it is filled from `values`.
export function t(key, values = {}) {
  const text = key.split(".").reduce((part, name) => part?.[name], words);
  if (typeof text !== "string") return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const number = (value, options) => new Intl.NumberFormat(language, options).format(value);
export const date = (seconds) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);
