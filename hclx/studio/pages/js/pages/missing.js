// The page of an address that is none.
import { html } from "../html.js";
import { t } from "../words.js";
import { EmptyPage } from "../parts/page.js";

export default function Missing() {
  return html`<${EmptyPage} title=${t("errors.missing")}><p><a href="#/">${t("shell.home")}</a></p></${EmptyPage}>`;
}
