// The page of an address that is none.
import { html } from "../html.js";
import { t } from "../words.js";

export default function Missing() {
  return html`<section class="empty"><h1>${t("errors.missing")}</h1><p><a href="#/">${t("shell.home")}</a></p></section>`;
}
