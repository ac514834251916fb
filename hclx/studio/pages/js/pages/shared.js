// A version of a prompt that somebody has shared by a link. It is read without logging in.
import { html, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { t } from "../words.js";
import { exported } from "../content.js";
import { useSession } from "../session.js";
import { ContentView } from "../parts/content_view.js";
import { Icon } from "../parts/icons.js";
import { EmptyPage, PageHead, Pending, download, go, useAction, useLoaded } from "../parts/page.js";

export default function Shared({ token }) {
  const session = useSession(), loaded = useLoaded(() => whenBack(() => api.get(`api/shared/${token}`)));
  const [isCopied, setCopied] = useState(false);
  const [isBusy, copy] = useAction(async () => {
    const { id } = await api.post(`api/shared/${token}/copy`);
    setCopied(true);
    go(`prompts/${id}`);
  });
  if (loaded.error?.status === 404) return html`<${EmptyPage} title=${t("shared.gone")} role="alert"><p>${t("shared.goneHelp")}</p></${EmptyPage}>`;
  if (!loaded.value) return html`<${Pending} loaded=${loaded} />`;
  const { title, number, note, mode, content } = loaded.value, mayCopy = mode === "copy";
  return html`
    <${PageHead} title=${title} note=${t("shared.version", { number })}>
      ${mayCopy && session && html`<button type="button" class="primary" disabled=${isBusy || isCopied} onClick=${copy}><${Icon} name="copy" />${t("shared.take")}</button>`}
      ${mayCopy && html`<button type="button" onClick=${() => download(`${title}.json`, exported(title, content))}><${Icon} name="down" />${t("editor.export")}</button>`}
    </${PageHead}>
    ${content.document.description && html`<p>${content.document.description}</p>`}
    ${note && html`<p>${t("shared.note")} ${note}</p>`}
    <p class="help">${t("shared.help")} ${!mayCopy ? t("shared.readOnly") : session ? t("shared.mayCopy") : t("shared.logIn")}</p>
    <section class="card"><h2 class="hidden">${t("home.inside")}</h2><${ContentView} content=${content} /></section>`;
}
