// Logs in by the token of a link, which works once, and leaves the address without it.
import { html, useEffect, useState } from "../html.js";
import { api } from "../api.js";
import { t } from "../words.js";
import { go } from "../parts/page.js";

export default function Login({ token, onLogin }) {
  const [error, setError] = useState(null);
  useEffect(() => {
    history.replaceState(null, "", "#/login/done");
    if (token === "done") return;
    api.post("api/login", { token }).then(() => onLogin()).then(() => go(""), setError);
  }, []);
  if (error) return html`<section class="empty" role="alert"><h1>${t("login.failed")}</h1><p>${error.status === 401 ? t("login.used") : error.message}</p></section>`;
  return html`<section class="empty"><h1>${t("login.title")}</h1><p>${t("common.loading")}</p><a href="#/">${t("shell.home")}</a></section>`;
}
