// Takes files of prompts, as they were exported, and makes a prompt of each.
import { html, useRef } from "../html.js";
import { api } from "../api.js";
import { t } from "../words.js";
import { imported } from "../content.js";
import { Icon } from "./icons.js";
import { notify } from "./notices.js";
import { useAction } from "./page.js";

// Returns {title, content} of the text of a file; null if it is no prompt.
export function read(text) {
  try {
    return imported(text);
  } catch {
    return null;
  }
}

// onMade(prompts) gets those that were made.
export function ImportPrompts({ onMade }) {
  const input = useRef(null);
  const [isBusy, take] = useAction(async (files) => {
    const made = [];
    for (const file of files) {
      const prompt = read(await file.text());
      if (!prompt) notify(t("prompts.noPrompt", { name: file.name }), "error");
      else made.push(await api.post("api/prompts", prompt));
    }
    if (made.length) onMade(made);
  });
  return html`<label class="button" aria-busy=${isBusy}><${Icon} name="file" />${t("prompts.import")}
    <input ref=${input} type="file" class="hidden" accept=".json,application/json" multiple disabled=${isBusy}
      onChange=${() => take([...input.current.files]).then(() => { input.current.value = ""; })} /></label>`;
}
