// Logs in by the token of a link, which works once, and leaves the address without it.
import { html, useEffect, useState } from "../html.js";
import { api } from "../api.js";
import { t } from "../words.js";
import { EmptyPage, go } from "../parts/page.js";

export default function Login({ token, onLogin }) {
  const [error, setError] = useState(null);
  useEffect(() => {
    history.replaceState(null, "", "#/login/done");
    if (token === "done") return;
    api.post("api/login", { token }).then(() => onLogin()).then(() => go(""), setError);
  }, []);
  if (error) return html`<${EmptyPage} title=${t("login.failed")} role="alert"><p>${error.status === 401 ? t("login.used") : error.status === 429 ? t("login.tooMany") : error.message}</p></${EmptyPage}>`;
  return html`<${EmptyPage} title=${t("login.title")}><p role="status">${t("common.loading")}</p><a href="#/">${t("shell.home")}</a></${EmptyPage}>`;
}
