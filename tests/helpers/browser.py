"""Debian's Chromium, driven by Playwright, and what people do in the Studio's pages."""

import contextlib
import os
import shutil

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-first-run", "--disable-quic"),
)
_COMPOSED = {"안": ("ㅇ", "아", "안"), "녕": ("ㄴ", "녀", "녕"), "요": ("ㅇ", "요"), "한": ("ㅎ", "하", "한")}


@contextlib.contextmanager
def chromium():
    """Runs Chromium; tests are skipped where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; name it in CHROMIUM")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def faults_of(page):
    """A list that grows with the errors of a page: of scripts, of the console, of the policy."""
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    return faults


class Composer:
    """Types Hangul as an input method does, through the debugging protocol."""

    def __init__(self, page):
        self._page, self._session = page, page.context.new_cdp_session(page)

    def compose(self, *steps):
        """Shows steps of a syllable that is being composed."""
        for text in steps:
            end = {"selectionStart": len(text), "selectionEnd": len(text)}
            self._session.send("Input.imeSetComposition", {"text": text, **end})

    def commit(self, text):
        """Ends the composition with a text."""
        self._session.send("Input.insertText", {"text": text})

    def cancel(self):
        """Ends the composition without a text."""
        self._session.send("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})

    def press(self, key="Enter", code=13, modifiers=0, composing=True):
        """Presses and releases a key, which an input method sees first while it composes."""
        shown = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        kind = "rawKeyDown" if composing else "keyDown"
        text = {} if composing or key != "Enter" else {"text": "\r"}
        self._session.send("Input.dispatchKeyEvent", {"type": kind, **shown, **text})
        self._session.send("Input.dispatchKeyEvent", {"type": "keyUp", **shown})

    def type_syllable(self, syllable):
        """Composes a syllable and commits it."""
        self.compose(*_COMPOSED.get(syllable, (syllable,)))
        self.commit(syllable)
