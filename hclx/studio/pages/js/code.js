// Code that calls an app, or the model below it, to be pasted into a terminal or a file. Pure functions.
import { answerField, choicesOf, hasChoices } from "./content.js";
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

// Fills the slots of a template; particles are left to those who read choices of people.
const filled = (template, item) => (parseTemplate(template) ?? [template]).map((part) => (typeof part === "string" ? part : item[part.field] ?? "")).join("");

// The answers as they stand behind the text, in the order of the choices.
function answersOf(document, item) {
  const { answer = "{answer}" } = document;
  return Object.values(choicesOf(document)).map((choice) => filled(answer, { ...item, [answerField(document)]: filled(choice, item) }));
}

const RULES = { choices: "choice", json_schema: "json", lark: "grammar", regex: "regex" };
const DEFAULT_TOKENS = 128; // that a prompt writes which does not say how many

function settingsOf({ sampling, stop, grammar }) {
  const rules = Object.entries(grammar ?? {}).map(([kind, value]) => [RULES[kind], value]);
  return {
    temperature: 0, max_tokens: DEFAULT_TOKENS, ...sampling, ...(stop?.length ? { stop } : {}),
    ...(rules.length ? { structured_outputs: Object.fromEntries(rules) } : {}),
  };
}

// The call that does what a content does, without an app: /v1/completions, or where it has choices /hclx/v1/choose, which
// compares their probabilities. `prompt` is the text that the model reads, `base` the address above these paths.
export function modelCall(base, { content, item, prompt, model }) {
  const { document } = content, named = { model: content.model || model };
  if (hasChoices(document)) {
    return { address: `${base}hclx/v1/choose`, body: { ...named, context: prompt, choices: answersOf(document, item) }, key: null, answer: '["choice"]' };
  }
  return { address: `${base}v1/completions`, body: { ...named, prompt, ...settingsOf(document) }, key: null, answer: '["choices"][0]["text"]' };
}

// The call of /v1/chat/completions for a content that is a chat.
export function chatCall(base, { content, message, model }) {
  const { system = "", turns = [] } = content.chat ?? {};
  const messages = [
    ...(system ? [{ role: "system", content: system }] : []),
    ...turns.flatMap(({ user, assistant }) => [{ role: "user", content: user }, { role: "assistant", content: assistant }]),
    { role: "user", content: message },
  ];
  return { address: `${base}v1/chat/completions`, body: { model: content.model || model, messages, ...settingsOf(content.document) }, key: null, answer: '["choices"][0]["message"]["content"]' };
}
