// The code that calls an app of a prompt, or its model without one: it works as it is pasted.
import { html, useEffect, useState } from "../html.js";
import { addressOf, api } from "../api.js";
import { t } from "../words.js";
import { appAddress } from "../apps.js";
import { KEY_NAME, LANGUAGES, appCall, chatCall, codeOf, modelCall } from "../code.js";
import { hasChoices, inputFields } from "../content.js";
import { useSession } from "../session.js";
import { Choice } from "./field.js";
import { Icon } from "./icons.js";
import { copyText } from "./page.js";

// What is sent as a sample: what was tried last, else the first example, else a word that says what goes there.
function sampleOf({ view, item = {}, document }) {
  if (view === "chat") return { message: t("share.sampleMessage") };
  return Object.fromEntries(inputFields(document).map((name) => [name, item[name] || document.examples?.[0]?.[name] || t("share.sample", { name })]));
}

function useModelCall(content) {
  const { models } = useSession(), [call, setCall] = useState(null), [error, setError] = useState(null);
  const base = addressOf("../"), model = models[0]?.name ?? "";
  useEffect(() => {
    const item = sampleOf(content);
    if (content.view === "chat") {
      setCall(chatCall(base, { content, message: t("share.sampleMessage"), model }));
      return;
    }
    api.post("api/preview", { content, item }).then((preview) => {
      if (preview.error) throw new Error(preview.error.message);
      setCall(modelCall(base, { content, item, prompt: preview.text, model }));
    }).catch(setError);
  }, [content]);
  return { call, error };
}

function Code({ language, call }) {
  const code = codeOf(language, call);
  return html`<div class="code"><pre tabindex="0" role="region" aria-label=${t(`share.language_${language}`)}>${code}</pre>
    <button type="button" onClick=${() => copyText(code)}><${Icon} name="copy" />${t("share.copyCode")}</button></div>
    ${!call.key && html`<p class="help">${t("share.keyFromName", { name: KEY_NAME })}</p>`}`;
}

// content: of the draft; app: {slug, content} with the content of its version, or null; secret: its key where it is known.
export function CodeView({ content, app, secret }) {
  const [target, setTarget] = useState("app"), [language, setLanguage] = useState("curl"), { call, error } = useModelCall(content);
  const ofApp = app && appCall(appAddress(app.slug), sampleOf(app.content), secret);
  const shown = target === "app" ? ofApp : call;
  return html`
    <div class="row"><${Choice} label=${t("share.target")} value=${target} options=${["app", "model"].map((name) => [name, t(`share.target_${name}`)])} onChange=${setTarget} />
      <${Choice} label=${t("share.language")} value=${language} options=${LANGUAGES.map((name) => [name, t(`share.language_${name}`)])} onChange=${setLanguage} /></div>
    ${target === "app" && !app && html`<p class="help">${t("share.noApp")}</p>`}
    ${target === "model" && html`<p class="help">${t("share.modelHelp")} ${t(hasChoices(content.document) ? "share.choiceHelp" : "share.openaiHelp")}</p>`}
    ${target === "model" && error && html`<p class="error" role="alert">${error.message}</p>`}
    ${shown && html`<${Code} language=${language} call=${shown} />`}`;
}
