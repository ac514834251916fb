// Code that calls an app, or the model below it, to be pasted into a terminal or a file. Pure functions.
import { choicesOf, hasChoices } from "./content.js";
import { parseTemplate } from "./template.js";

export const KEY_NAME = "HCLX_KEY"; // the variable of the environment that has the key where it is not known

// A text in quotes of a shell, which reads nothing in them.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// A JSON value as Python writes it. Lines that are no longer than that stay lines.
export function pythonOf(value, indent = "") {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `, isList = Array.isArray(value), [open, close] = isList ? ["[", "]"] : ["{", "}"];
  const entries = isList ? value.map((entry) => pythonOf(entry, inner)) : Object.entries(value).map(([name, entry]) => `${JSON.stringify(name)}: ${pythonOf(entry, inner)}`);
  if (!entries.length) return open + close;
  const line = entries.join(", ");
  return isList && line.length < 80 && !line.includes("\n") ? open + line + close : `${open}\n${entries.map((entry) => `${inner}${entry},\n`).join("")}${indent}${close}`;
}

function curl({ address, body, key }) {
  const header = key ? quoted(`Authorization: Bearer ${key}`) : `"Authorization: Bearer $${KEY_NAME}"`;
  return `curl -sS ${quoted(address)} \\\n  -H ${header} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body, null, 2))}\n`;
}

function python({ address, body, key, answer }) {
  return `import json
${key ? "" : "import os\n"}import urllib.request

key = ${key ? JSON.stringify(key) : `os.environ["${KEY_NAME}"]`}
body = ${pythonOf(body)}
request = urllib.request.Request(
    ${JSON.stringify(address)},
    data=json.dumps(body).encode(),
    headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as response:
    print(json.load(response)${answer})
`;
}

const WRITERS = { curl, python };
export const LANGUAGES = Object.keys(WRITERS);

// Returns the code of a call. `language` is one of LANGUAGES; call: {address, body, key, answer}, of which `answer` is
// Python's subscripts of what is printed, and `key` null where the variable HCLX_KEY has it.
export const codeOf = (language, call) => WRITERS[language](call);

export const appCall = (address, item, key = null) => ({ address, body: item, key, answer: '["answer"]' });

// Fills the slots of a template, as far as choices have any.
const filled = (template, item) => (parseTemplate(template) ?? [template]).map((part) => (typeof part === "string" ? part : item[part.field] ?? "")).join("");

// Choices as the model would write them, behind what the template of the answer begins with.
function choiceRule(document, item) {
  const [first] = parseTemplate(document.answer ?? "") ?? [], lead = typeof first === "string" ? first : "";
  return { choice: Object.values(choicesOf(document)).map((text) => lead + filled(text, item)) };
}

const RULES = { choices: "choice", json_schema: "json", lark: "grammar", regex: "regex" };
function grammarRule([kind, value]) {
  return { [RULES[kind]]: value };
}

const DEFAULT_TOKENS = 128; // that a prompt writes which does not say how many
const CHOICE_TOKENS = 64;

function settingsOf(document, item) {
  if (hasChoices(document)) return { max_tokens: CHOICE_TOKENS, temperature: 0, structured_outputs: choiceRule(document, item) };
  const [rule] = Object.entries(document.grammar ?? {});
  return {
    temperature: 0, max_tokens: DEFAULT_TOKENS, ...document.sampling, ...(document.stop?.length ? { stop: document.stop } : {}),
    ...(rule ? { structured_outputs: grammarRule(rule) } : {}),
  };
}

// The call of /v1/completions that writes what a content does; `prompt` is the text that the model reads, `base` the address of /v1/.
// A choice is written under a rule here, and not scored as the Studio does it.
export function modelCall(base, { content, item, prompt, model }) {
  const body = { model: content.model || model, prompt, ...settingsOf(content.document, item) };
  return { address: `${base}completions`, body, key: null, answer: '["choices"][0]["text"]' };
}

// The call of /v1/chat/completions for a content that is a chat.
export function chatCall(base, { content, message, model }) {
  const { system = "", turns = [] } = content.chat ?? {}, { structured_outputs, ...settings } = settingsOf(content.document, {});
  const messages = [
    ...(system ? [{ role: "system", content: system }] : []),
    ...turns.flatMap(({ user, assistant }) => [{ role: "user", content: user }, { role: "assistant", content: assistant }]),
    { role: "user", content: message },
  ];
  return { address: `${base}chat/completions`, body: { model: content.model || model, messages, ...settings }, key: null, answer: '["choices"][0]["message"]["content"]' };
}
