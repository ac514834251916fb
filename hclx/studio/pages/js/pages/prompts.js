// All prompts of a person: found by their titles, duplicated, exported, deleted and recovered.
import { html, useEffect, useRef, useState } from "../html.js";
import { api, whenBack } from "../api.js";
import { date, number, t } from "../words.js";
import { exported, newContent } from "../content.js";
import { useSession } from "../session.js";
import { Field } from "../parts/field.js";
import { Icon } from "../parts/icons.js";
import { ImportPrompts } from "../parts/import_prompts.js";
import { notify } from "../parts/notices.js";
import { PageHead, Pending, download, go, useAction, useLoaded } from "../parts/page.js";
import { TextInput } from "../parts/text_input.js";

const SHOWN = 100; // prompts that are drawn at first, and more by each click

const folded = (text) => text.normalize("NFC").toLowerCase();

// A prompt that was deleted: it stays in its place as long as the page is open, and can be recovered.
function Removed({ prompt, onRecovered }) {
  const button = useRef(null);
  const [isBusy, recover] = useAction(async () => onRecovered(await api.post(`api/prompts/${prompt.id}/recover`)));
  useEffect(() => button.current.focus(), []);
  return html`<li class="removed"><span class="grow">${t("prompts.removed", { title: prompt.title })}</span>
    <button type="button" ref=${button} disabled=${isBusy} onClick=${recover}><${Icon} name="undo" />${t("prompts.recover")}</button></li>`;
}

function Entry({ prompt, isMine, isBack, onRemoved, onMade }) {
  const { id, title, updated, versions, owner } = prompt, shown = title || t("prompts.untitled");
  const link = useRef(null);
  useEffect(() => { if (isBack) link.current.focus(); }, []);
  const whole = () => api.get(`api/prompts/${id}`);
  const [isBusy, act] = useAction((action) => action());
  const duplicate = async () => {
    const { content } = await whole();
    onMade([await api.post("api/prompts", { title: t("editor.copyOf", { title }), content })]);
  };
  const save = async () => download(`${shown}.json`, exported(title, (await whole()).content));
  const remove = async () => {
    try {
      await api.delete(`api/prompts/${id}`);
      onRemoved(prompt);
    } catch (error) {
      if (error.code !== "conflict") throw error;
      notify(t("prompts.usedByApp"), "error", { label: t("prompts.showApps"), run: () => go("apps") });
    }
  };
  const facts = [date(updated), versions ? t("prompts.versions", { n: number(versions) }) : t("prompts.noVersion"), ...(isMine ? [] : [owner])];
  return html`<li>
    <div class="grow"><a ref=${link} href=${`#/prompts/${id}`}>${shown}</a><p class="help">${facts.join(" · ")}</p></div>
    <div class="row">
      <a class="button plain" href=${`#/prompts/${id}/versions`} aria-label=${t("prompts.versionsOf", { title: shown })}>${t("editor.editor_versions")}</a>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${t("prompts.duplicateOf", { title: shown })} onClick=${() => act(duplicate)}><${Icon} name="copy" />${t("editor.duplicate")}</button>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${t("prompts.exportOf", { title: shown })} onClick=${() => act(save)}><${Icon} name="down" />${t("editor.export")}</button>
      <button type="button" class="plain" disabled=${isBusy} aria-label=${t("prompts.removeOf", { title: shown })} onClick=${() => act(remove)}><${Icon} name="trash" />${t("common.remove")}</button>
    </div></li>`;
}

function List({ prompts, onChange }) {
  const { person } = useSession(), [sought, seek] = useState(""), [shown, setShown] = useState(SHOWN), [removed, setRemoved] = useState({});
  const found = prompts.filter(({ title }) => folded(title).includes(folded(sought.trim())));
  const made = (added) => {
    onChange([...added.map((prompt) => ({ owner: person.name, owner_id: person.id, ...prompt, versions: prompt.versions?.length ?? 0 })), ...prompts]);
    notify(t("prompts.made", { n: number(added.length), title: added[0].title }), "info", { label: t("common.open"), run: () => go(`prompts/${added[0].id}`) });
  };
  const recovered = ({ id, title }) => {
    setRemoved({ ...removed, [id]: false });
    notify(t("prompts.recovered", { title }));
  };
  return html`
    <${Field} label=${t("prompts.search")} isHidden>${(attributes) => html`<${TextInput} ...${attributes} type="search" class="search" placeholder=${t("prompts.search")}
      value=${sought} onInput=${seek} />`}</${Field}>
    <p class="help" role="status">${sought.trim() ? t("prompts.found", { n: number(found.length) }) : t("prompts.all", { n: number(prompts.length) })}</p>
    <ul class="card plain-list">${found.slice(0, shown).map((prompt) => (removed[prompt.id]
      ? html`<${Removed} key=${prompt.id} prompt=${prompt} onRecovered=${recovered} />`
      : html`<${Entry} key=${prompt.id} prompt=${prompt} isBack=${removed[prompt.id] === false} isMine=${(prompt.owner_id ?? person.id) === person.id} onMade=${made}
          onRemoved=${({ id }) => setRemoved({ ...removed, [id]: true })} />`))}</ul>
    ${found.length > shown && html`<button type="button" onClick=${() => setShown(shown + SHOWN)}>${t("prompts.more")}</button>`}`;
}

export default function Prompts() {
  const loaded = useLoaded(() => whenBack(() => api.get("api/prompts")));
  const [isBusy, begin] = useAction(async () => {
    const content = newContent({ name: t("home.newName"), field: t("home.newField"), answer: t("home.newAnswer") });
    go(`prompts/${(await api.post("api/prompts", { title: t("home.newTitle"), content })).id}`);
  });
  const prompts = loaded.value?.data;
  return html`<${PageHead} title=${t("shell.prompts")}>
      <button type="button" disabled=${isBusy} onClick=${begin}><${Icon} name="plus" />${t("home.empty")}</button>
      <${ImportPrompts} onMade=${(made) => (made.length === 1 ? go(`prompts/${made[0].id}`) : loaded.reload())} />
    </${PageHead}>
    ${!prompts ? html`<${Pending} loaded=${loaded} />` : prompts.length ? html`<${List} prompts=${prompts} onChange=${(data) => loaded.set({ data })} />`
      : html`<div class="empty"><p>${t("prompts.none")}</p><a class="button primary" href="#/">${t("prompts.toStart")}</a></div>`}`;
}
