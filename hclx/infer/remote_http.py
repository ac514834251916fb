"""HTTP to a server of models: JSON, streams of events, and what is tried again."""

import asyncio
import contextlib
import datetime
import email.utils
import json
import logging
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from hclx.errors import ConfigError, StuckError, require
from hclx.infer.engine import RequestError

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_LONGEST_WAIT = 120.0  # that a server may ask for before the next attempt
_PASSING = {408, 425, 429}  # beside the errors of the server, from 500 on
_FINAL = {501, 505}  # errors of the server that no second attempt changes
_MOST_BYTES = 2**26  # of an answer; the largest ones are log-probabilities of a long text
T = TypeVar("T")


class ServerError(StuckError):
    """A server of models is not reached, fails at each attempt, or answers what nobody can read."""


class UnreadableError(ServerError):
    """Another server answers: it speaks HTTP, but not in this language."""


class Interruption(Exception):
    """An attempt failed by what may pass.

    Attributes:
      wait: the seconds that the server asks to wait; None: it does not say.
    """

    def __init__(self, reason: str, wait: float | None = None):
        """Says what happened."""
        super().__init__(reason)
        self.wait = wait


class Http:
    """Requests to one server. Its coroutines belong to one event loop.

    Attributes:
      address: of the server, without a user and a password.
      is_500_final: whether the server answers 500 to a wrong request too.
    """

    def __init__(self, url: str, key: str | None, timeout: float, retries: int):
        """Checks the address; nothing is sent.

        Args:
          url: of the server, with or without `/v1` at its end.
          key: sent as a bearer token, if there is one.
          timeout: the longest silence in seconds.
          retries: attempts after the first one.
        Raises:
          ConfigError: the address or the key is none.
          MissingExtraError: httpx2 is not installed.
        """
        require("httpx2")
        import httpx2

        self._library, self._retries, self.is_500_final = httpx2, retries, False
        root = _root(httpx2, url)
        self.address = str(root.copy_with(username=None, password=None)).rstrip("/")
        headers = {}
        if key := (key or "").strip():
            if not (key.isascii() and key.isprintable()):
                raise ConfigError("the key of the server has characters that no key has; set it")
            if root.userinfo:
                raise ConfigError("the address has a password, and there is a key: give either")
            headers["Authorization"] = f"Bearer {key}"
        # To read the certificates that are trusted takes long, and plain HTTP needs none.
        no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx2.AsyncClient(
            base_url=root,
            verify=True if root.scheme == "https" else no_certificates,
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=None),
        )

    async def get(self, path: str) -> dict:
        """Returns the JSON object at a path; see `post`."""
        return await self.retry(lambda: self._ask("GET", path, None))

    async def post(self, path: str, body: dict) -> dict:
        """Sends JSON, and returns the object of the answer.

        Raises:
          RequestError: the server refuses the request, with its reason.
          ConfigError: it refuses the key, or is elsewhere.
          ServerError: it fails at each attempt, or its answer is no JSON object.
        """
        return await self.retry(lambda: self.attempt(path, body))

    async def attempt(self, path: str, body: dict) -> dict:
        """Sends JSON once; see `post`. Raises Interruption if it may be tried again."""
        return await self._ask("POST", path, body)

    @contextlib.asynccontextmanager
    async def events(
        self, path: str, body: dict, keeps_alive: bool = True
    ) -> AsyncIterator[AsyncGenerator[dict]]:
        """Opens a stream of JSON objects, which ends at `[DONE]` or where the server ends it. This
        is one attempt, for `retry`. To leave the context before the end closes the connection.

        Args:
          path, body: as in `post`.
          keeps_alive: whether the connection may serve another request afterwards.
        """
        sent = _sent(body) if keeps_alive else _sent(body, Connection="close")
        with self._interruptions():
            async with self._client.stream("POST", path, **sent) as response:
                await self._check(response)
                if "text/event-stream" not in response.headers.get("content-type", ""):
                    raise self._unreadable("no stream of events", await self._text(response))
                async with contextlib.aclosing(self._objects(response)) as objects:
                    yield objects

    async def retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Awaits attempts until one is not interrupted, with longer and longer waits between.

        Raises:
          ServerError: the last one was interrupted too, or the server asks for a very long wait.
        """
        for number in range(self._retries + 1):
            try:
                return await attempt()
            except Interruption as error:
                reason, wait = str(error), error.wait
            if wait is not None and wait > _LONGEST_WAIT:
                raise ServerError(
                    f"{reason}; it asks for a wait of {wait:.0f} seconds: run the same command then"
                )
            if number < self._retries:
                if wait is None:
                    wait = min(30.0, 0.5 * 2**number) * random.uniform(0.75, 1.25)
                _LOG.warning("%s; the next attempt is in %.1f s", reason, wait)
                await asyncio.sleep(wait)
        raise ServerError(
            f"{reason}, at {self._retries + 1} attempts; look at the server, and run the same"
            " command again"
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, body: dict | None) -> dict:
        with self._interruptions():
            sent = {} if body is None else _sent(body)
            async with self._client.stream(method, path, **sent) as response:
                await self._check(response)
                return self._object(await self._text(response))

    async def _text(self, response) -> str:
        """Reads the body of an answer, as far as it makes sense to."""
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                shown = body[:200].decode("utf-8", "replace")
                raise self._unreadable(f"more than {_MOST_BYTES:,} bytes,", shown)
        return body.decode("utf-8", "replace")

    async def _objects(self, response) -> AsyncGenerator[dict]:
        async for event in self._library.EventSource(response):
            if event.data.startswith("[DONE]"):
                return
            if event.data:
                yield self._object(event.data)

    def _object(self, text: str) -> dict:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._unreadable("no JSON object", text)
        return value

    def _unreadable(self, what: str, text: str) -> UnreadableError:
        return UnreadableError(
            f"{self.address} answers {what} but {text[:200]!r}; give the address of a server that"
            " speaks OpenAI's completions"
        )

    @contextlib.contextmanager
    def _interruptions(self):
        """Makes interruptions of what the library raises when a connection fails."""
        try:
            yield
        except self._library.RequestError as error:
            reason = str(error) or type(error).__name__
            raise Interruption(f"{self.address} is not reached: {reason}") from error

    async def _check(self, response) -> None:
        """Raises what the status of a response means; see `post`."""
        code, headers = response.status_code, response.headers
        if response.is_success:
            return
        reason = reason_of(await self._text(response))
        answer = f"{self.address} answers {code}: {reason}"
        if code in (401, 403):
            raise ConfigError(f"{answer}; give the key of this server")
        if code < 400:
            place = headers.get("location", "another address")
            raise ConfigError(f"{answer}; it names {place!r}: give that address")
        is_final = code in _FINAL or (code == 500 and self.is_500_final)
        is_final |= headers.get("x-should-retry") == "false"
        if (code in _PASSING or code >= 500) and not is_final:
            raise Interruption(answer, _asked_wait(headers))
        raise RequestError(f"the server refuses this: {answer}")


def reason_of(error: Any) -> str:
    """Returns the reason that an error of a server gives, in one of the shapes that servers use.

    Args:
      error: the object, or the text of an answer.
    """
    if isinstance(error, str):
        try:
            return reason_of(json.loads(error))
        except ValueError:
            return " ".join(error.split())[:300] or "no reason"
    for name in ("error", "message", "detail"):
        if isinstance(error, dict) and error.get(name):
            inner = error[name]
            return inner[:1000] if isinstance(inner, str) else reason_of(inner)
    return json.dumps(error, ensure_ascii=False)[:300]


def _root(httpx2, url: str):
    try:
        root = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, TypeError, AttributeError) as error:
        raise ConfigError(f"engine={url!r} is no address: {error}") from error
    if root.scheme not in ("http", "https") or not root.host:
        raise ConfigError(f"engine={url!r} is no address; write one as http://localhost:8000")
    path = root.path.rstrip("/").removesuffix("/v1")
    return root.copy_with(path=path + "/", query=None, fragment=None)


def _sent(body: dict, **headers: str) -> dict:
    """The arguments that send a body as JSON, in which numbers may be those of NumPy."""
    try:
        content = json.dumps(body, ensure_ascii=False, default=lambda value: value.item()).encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"a text has {error.object[error.start]!r}, which is half a character in UTF-16 and"
            " none in UTF-8; remove it"
        ) from error
    return {"content": content, "headers": {"Content-Type": "application/json", **headers}}


def _asked_wait(headers) -> float | None:
    """The seconds that the headers of an answer ask to wait: as a number or as a date."""
    if (text := headers.get("retry-after-ms", "")).isdigit():
        return int(text) / 1000
    text = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())
