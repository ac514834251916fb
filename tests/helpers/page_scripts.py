"""Modules of the Studio's pages, called in a Chromium as if they were functions of Python."""

import contextlib
import functools
import http.server
import importlib.resources
import shutil
import threading

import pytest

PAGES = importlib.resources.files("hclx.studio").joinpath("pages")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".js": "text/javascript", ".mjs": "text/javascript", "": "text/html"}

    def log_message(self, *_):
        pass


class PageScripts:
    """Calls functions of modules below pages/js."""

    def __init__(self, page, address: str):
        self._page, self._address = page, address

    def run(self, names: str, module: str, body: str, *values):
        """Returns what the body of an asynchronous function returns, as JSON has it.

        Args:
          names: of what it imports, such as "accuracy, wilson".
          module: that has them, such as "evaluation.js".
          body: in JavaScript; `values` are there as an array of this name.
          values: for it.
        """
        script = f"""async (values) => {{
          const {{ {names} }} = await import("{self._address}/js/{module}");
          {body}
        }}"""
        return self._page.evaluate(script, list(values))


@contextlib.contextmanager
def page_scripts():
    """Yields a PageScripts over the pages of this tree; skips where there is no Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium")
    handler = functools.partial(_Handler, directory=PAGES)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=_FLAGS)
            page = browser.new_page()
            page.goto(f"{address}/icon.svg")  # a page of this origin that runs nothing
            yield PageScripts(page, address)
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
