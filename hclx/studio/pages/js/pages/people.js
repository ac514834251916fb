// For administrators: who may log in, and the keys of programs, in two tabs.
import { html } from "../html.js";
import { t } from "../words.js";
import { KeyList } from "../parts/key_list.js";
import { PageHead } from "../parts/page.js";
import { PersonList } from "../parts/person_list.js";

const TABS = [["", "people"], ["?keys", "keys"]];

export default function People() {
  const here = location.hash.includes("?keys") ? "?keys" : ""; // a page is drawn again when its address changes
  return html`<${PageHead} title=${t("people.title")} />
    <nav class="tabs" aria-label=${t("people.title")}>${TABS.map(([query, name]) => html`<a key=${name} href=${`#/people${query}`}
      aria-current=${query === here ? "page" : undefined}>${t(`people.${name}`)}</a>`)}</nav>
    ${here === "" ? html`<${PersonList} />` : html`<${KeyList} />`}`;
}
