"""Debian's Chromium, driven by Playwright, and what people do in the Studio's pages."""

import contextlib
import os
import shutil
import time

import pytest

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-first-run", "--disable-quic"),
)
_COMPOSED = {
    "안": ("ㅇ", "아", "안"),
    "녕": ("ㄴ", "녀", "녕"),
    "요": ("ㅇ", "요"),
}
_FOCUSED = "document.activeElement.outerHTML.slice(0, 200)"
_POST = """async ([path, body]) => {
    const headers = {"Content-Type": "application/json"};
    const answer = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)});
    return await answer.json();
}"""


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


def post(page, path, body):
    """Asks the server as the page would, and returns its answer."""
    return page.evaluate(_POST, [path, body])


def content_of(**changes):
    """The content of a prompt that tells moods."""
    document = {
        "schema": "hclx.prompt/1",
        "name": "감정",
        "input": "{문장}\n감정:",
        "answer": " {답}",
        "answer_field": "답",
        "stop": ["\n\n"],
        "sampling": {"max_tokens": 100, "temperature": 0.5},
    }
    document |= changes.pop("document", {})
    return {"schema": "hclx.studio/1", "document": document, **changes}


def new_prompt(page, changes=None, title="감정"):
    """Makes a prompt that tells moods and opens it; returns its id."""
    content = content_of(**(changes or {}))
    prompt_id = post(page, "api/prompts", {"title": title, "content": content})["id"]
    page.evaluate("id => { location.hash = `#/prompts/${id}`; }", prompt_id)
    page.get_by_role("textbox", name="제목", exact=True).wait_for()
    return prompt_id


def open_part(page, name):
    """Opens a part of the editor by its name."""
    page.get_by_role("navigation", name="편집기 부분").get_by_text(name, exact=True).click()


def save_version(page, note):
    """Saves the prompt of the editor as a version."""
    page.get_by_role("button", name="버전으로 저장").click()
    page.get_by_role("textbox", name="무엇이 달라졌나요?").fill(note)
    page.get_by_role("dialog").get_by_role("button", name="저장", exact=True).click()
    page.get_by_text("버전으로 저장했습니다.").wait_for()


def written(page):
    """Returns the text of the answer that is shown, without what a token shows of itself."""
    return "".join(page.locator(".token-text [data-token]").all_text_contents())


def tab_to(page, locator, most=80, back=False):
    """Presses Tab, or Shift and Tab, until an element has the focus; `most` times at most."""
    locator.wait_for()
    for _ in range(most + 1):
        if locator.evaluate("element => element.matches(':focus')"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{locator} was not reached; {page.evaluate(_FOCUSED)} has the focus")


def wait_for_value(field, value, seconds=10):
    """Waits until a field has a value; fails if it has another one in the end."""
    end = time.monotonic() + seconds
    while field.input_value() != value and time.monotonic() < end:
        time.sleep(0.05)
    assert field.input_value() == value


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
        self._session.send(
            "Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0}
        )

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
