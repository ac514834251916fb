"""Debian's Firefox without geckodriver, driven over WebDriver BiDi, which it speaks itself."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from tests.helpers.multi_process import free_port

FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Control": "\ue009", "Backspace": "\ue003"}
_PREFERENCES = {
    "intl.accept_languages": "ko-KR",
    "intl.locale.requested": "ko",
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
_POLL = 0.1


class Firefox:
    """A browser with one tab.

    Attributes:
      faults: errors of scripts and of the console so far.
    """

    def __init__(self, socket, seconds=30):
        """Opens a session over a websocket; waits `seconds` at most for what is to appear."""
        self._socket, self._seconds, self._ids, self.faults = (
            socket,
            seconds,
            itertools.count(1),
            [],
        )
        self.call("session.new", capabilities={})
        (first, *_) = self.call("browsingContext.getTree")["contexts"]
        self._context = first["context"]
        self.call("session.subscribe", events=["log.entryAdded"])

    def call(self, method, **parameters):
        """Returns the result of a command."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=120))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.faults.append(answer["params"]["text"])
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def go(self, address):
        """Opens an address."""
        self.call("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def evaluate(self, expression):
        """Returns the JSON value of an expression, which may be a promise."""
        wrapped = f"(async () => JSON.stringify(await ({expression})))()"
        target = {"context": self._context}
        answer = self.call("script.evaluate", expression=wrapped, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        value = answer["result"].get("value")
        return None if value is None else json.loads(value)

    def find(self, role, name):
        """Waits for an element of a role whose accessible name is `name`; returns it."""
        locator = {"type": "accessibility", "value": {"role": role, "name": name}}
        return self._first(locator, (role, name))

    def wait_for_text(self, text):
        """Waits until the page shows a text somewhere."""
        self.wait_until(f"document.body.innerText.includes({json.dumps(text)})")

    def wait_until(self, expression):
        """Waits until an expression is true."""
        end = time.monotonic() + self._seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, (expression, self.evaluate("document.body.innerText"))
            time.sleep(_POLL)

    def click(self, role, name):
        """Clicks an element with the mouse."""
        self.click_at(self.find(role, name))

    def click_at(self, element):
        """Clicks an element that was found, once it is in sight."""
        self._of_element(element, "e => e.scrollIntoView({block: 'center'})")
        origin = {"type": "element", "element": {"sharedId": element["sharedId"]}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._perform({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    def fill(self, role, name, text):
        """Types a text in place of that of a field."""
        self.click(role, name)
        self.press("Control", "a")
        self.type(text)

    def type(self, text):
        """Types a text where the focus is."""
        strokes = [(kind, key) for key in text for kind in ("keyDown", "keyUp")]
        self._keys(strokes)

    def press(self, *keys):
        """Presses keys together, such as "Control" and "a"."""
        values = [KEYS.get(key, key) for key in keys]
        down, up = [("keyDown", key) for key in values], [("keyUp", key) for key in values[::-1]]
        self._keys(down + up)

    def value(self, role, name):
        """Returns the value of a field, or an attribute that is none."""
        return self._of_element(self.find(role, name), "e => e.value ?? e.innerText")

    def attribute(self, role, name, attribute):
        """Returns an attribute of an element."""
        return self._of_element(self.find(role, name), f"e => e.{attribute}")

    def _of_element(self, element, function):
        target, shared = {"context": self._context}, {"sharedId": element["sharedId"]}
        answer = self.call(
            "script.callFunction",
            functionDeclaration=function,
            target=target,
            arguments=[shared],
            awaitPromise=False,
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    def _first(self, locator, shown):
        end = time.monotonic() + self._seconds
        while True:
            found_nodes = self.call(
                "browsingContext.locateNodes", context=self._context, locator=locator
            )["nodes"]
            if found_nodes:
                return found_nodes[0]
            assert time.monotonic() < end, (shown, self.evaluate("document.body.innerText"))
            time.sleep(_POLL)

    def _keys(self, strokes):
        actions = [{"type": kind, "value": key} for kind, key in strokes]
        self._perform({"type": "key", "id": "keyboard", "actions": actions})

    def _perform(self, source):
        self.call("input.performActions", context=self._context, actions=[source])


@contextlib.contextmanager
def firefox():
    """Runs Firefox; tests are skipped where it, or the package websockets, is not installed."""
    client = pytest.importorskip("websockets.sync.client")
    if FIREFOX is None:
        pytest.skip("Firefox is not installed; name it in FIREFOX")
    port = free_port()
    with tempfile.TemporaryDirectory() as profile:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
        with open(f"{profile}/user.js", "w") as file:
            file.write("\n".join(lines))
        options = ("--headless", "--no-remote", f"--remote-debugging-port={port}")
        command = [FIREFOX, *options, "--profile", profile, "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env={**os.environ, "HOME": profile}, **quiet)
        try:
            with _connected(client, f"ws://127.0.0.1:{port}/session", process) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
            process.wait(30)


def _connected(client, address, process):
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None and time.monotonic() < end
        with contextlib.suppress(OSError, TimeoutError):
            return client.connect(address, max_size=None, open_timeout=10)
        time.sleep(_POLL)
