// The start of the Studio: languages, who is logged in, and the page of the address behind #.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { api } from "./api.js";
import { keepLanguage, language, loadWords, t } from "./words.js";
import { SessionContext, loadSession, mayAs } from "./session.js";
import { Icon } from "./parts/icons.js";
import { Notices, notifyError } from "./parts/notices.js";
import { EmptyPage, Pending } from "./parts/page.js";

// Pattern of the address -> the module of the page, and the least role that may open it; null: everyone.
const PAGES = [
  [/^$/, "home", "user"],
  [/^prompts$/, "prompts", "user"],
  [/^prompts\/(?<id>[\w-]+)(\/(?<part>test|versions|share))?$/, "editor", "user"],
  [/^batches$/, "batches", "user"],
  [/^batches\/(?<id>[\w-]+)$/, "batch", "user"],
  [/^tune$/, "tune", "maker"],
  [/^tune\/(?<id>[\w-]+)$/, "tune_job", "maker"],
  [/^apps$/, "apps", "user"],
  [/^usage$/, "usage", "user"],
  [/^people$/, "people", "admin"],
  [/^shared\/(?<token>[\w-]+)$/, "shared", null],
  [/^login\/(?<token>[\w-]+)$/, "login", null],
];
const MENU = [
  ["", "home", "home", "user"], ["prompts", "prompts", "prompts", "user"], ["batches", "batches", "batches", "user"],
  ["apps", "apps", "apps", "user"], ["tune", "tune", "tune", "maker"], ["usage", "usage", "usage", "user"],
  ["people", "people", "people", "admin"],
];

function pageOf(hash) {
  const path = hash.replace(/^#?\/?/, "").split("?")[0];
  for (const [pattern, name, role] of PAGES) {
    const match = pattern.exec(path);
    if (match) return { name, role, path, values: match.groups ?? {} };
  }
  return { name: "missing", role: null, path, values: {} };
}

const THEME = "hclx-theme";
const THEMES = ["system", "light", "dark"];
function keptTheme() {
  try {
    return localStorage.getItem(THEME) ?? "system";
  } catch {
    return "system";
  }
}
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch { /* it then holds for this page */ }
}

function Shell({ page, session, onChanged, children }) {
  const [isOpen, setOpen] = useState(false);
  const [theme, choose] = useState(keptTheme());
  const main = useRef(null);
  useEffect(() => setOpen(false), [page.path]);
  const nextTheme = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(next);
    choose(next);
  };
  const nextLanguage = () => keepLanguage(language === "ko" ? "en" : "ko").then(onChanged, notifyError);
  const leave = () => api.post("api/logout").then(onChanged, notifyError);
  const isHere = (path) => (path === "" ? page.path === "" : page.path.split("/")[0] === path);
  const skip = () => main.current.focus();
  return html`<div class=${`shell ${isOpen ? "open" : ""}`}>
    <button type="button" class="skip" onClick=${skip}>${t("shell.skip")}</button>
    <header class="topbar">
      <button type="button" class="plain" aria-label=${t("shell.menu")} aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>
        <${Icon} name="menu" /></button>
      <a href="#/" class="brand">hclx Studio</a>
    </header>
    <nav class="side" aria-label=${t("shell.menu")}>
      <a href="#/" class="brand">hclx <span>Studio</span></a>
      ${session && MENU.filter(([, , , role]) => mayAs(session, role)).map(([path, name, icon]) => html`
        <a key=${name} href=${`#/${path}`} aria-current=${isHere(path) ? "page" : undefined}>
          <${Icon} name=${icon} />${t(`shell.${name}`)}</a>`)}
      <div class="foot">
        <button type="button" class="plain" onClick=${nextTheme}><${Icon} name="sun" />${t(`shell.theme_${theme}`)}</button>
        <button type="button" class="plain" lang=${language === "ko" ? "en" : "ko"} onClick=${nextLanguage}>
          <${Icon} name="file" />${t("shell.language")}</button>
        ${session && html`<button type="button" class="plain" onClick=${leave}>
          <${Icon} name="out" />${t("shell.logout", { name: session.person.name })}</button>`}
      </div>
    </nav>
    <main ref=${main} tabindex="-1">${children}</main>
    <${Notices} />
  </div>`;
}

function LoggedOut() {
  return html`<${EmptyPage} title=${t("login.outTitle")}><p>${t("login.outText")}</p>
    <p><code>hclx serve --studio_dir=…</code></p></${EmptyPage}>`;
}

function App() {
  const [page, setPage] = useState(pageOf(location.hash));
  const [session, setSession] = useState(undefined);
  const [view, setView] = useState(null);
  const [, draw] = useState(0);
  const [failure, setFailure] = useState(null);
  const refresh = () => loadSession().then((loaded) => { setSession(loaded); setFailure(null); draw((n) => n + 1); }, setFailure);
  useEffect(() => {
    const moved = () => {
      setPage(pageOf(location.hash));
      setFailure(null);
    };
    const out = () => setSession(null);
    window.addEventListener("hashchange", moved);
    window.addEventListener("hclx-logged-out", out);
    moved(); // the address may have changed before anybody listened
    if (page.name !== "login") refresh();
    return () => {
      window.removeEventListener("hashchange", moved);
      window.removeEventListener("hclx-logged-out", out);
    };
  }, []);
  const isShown = page.role === null || (session && mayAs(session, page.role));
  useEffect(() => {
    let isCurrent = true;
    if (isShown) {
      import(`./pages/${page.name}.js`).then(
        (module) => isCurrent && setView({ name: page.name, Page: module.default }),
        () => isCurrent && setFailure(new Error(t("errors.page"))),
      );
    }
    return () => { isCurrent = false; };
  }, [page.name, isShown]);
  useLayoutEffect(() => { window.scrollTo(0, 0); }, [page.path]);

  const drawn = () => {
    if (failure) return html`<${Pending} loaded=${{ error: failure, reload: () => location.reload() }} />`;
    if (session === undefined && page.role !== null) return html`<${Pending} loaded=${{}} />`;
    if (!isShown) return session ? html`<${EmptyPage} title=${t("errors.role")} />` : html`<${LoggedOut} />`;
    if (view?.name !== page.name) return html`<${Pending} loaded=${{}} />`;
    return html`<${view.Page} key=${page.values.id ?? page.values.token ?? page.name} ...${page.values} onLogin=${refresh} />`;
  };
  return html`<${SessionContext.Provider} value=${session}>
    <${Shell} page=${page} session=${session} onChanged=${refresh}>${drawn()}</${Shell}>
  </${SessionContext.Provider}>`;
}

setTheme(keptTheme());
loadWords().then(() => render(html`<${App} />`, document.getElementById("app")));
