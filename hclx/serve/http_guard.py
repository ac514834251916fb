"""The guard before all routes: a pure ASGI middleware, because those that wrap a request as an
object hide that its client has left.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hclx.errors import shown
from hclx.serve.api_error import ApiError, shutting_down
from hclx.serve.serve_config import ServeConfig
from hclx.serve.service import Service

_LOG = logging.getLogger(__name__)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BALANCED = ("/health", "/ready")  # which tell nothing; balancers ask without a key, by address
_BODY_SECONDS = 60  # within which a body has to be here, or the next part of a file
_END_SECONDS = 1  # within which requests end by themselves when the server does
_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_ID_HEADERS = ("x-request-id", "x-ncp-clovastudio-request-id")
_KEY_HEADERS = ("x-api-key", "x-ncp-clovastudio-api-key")
SESSION_COOKIE = "hclx_session"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_EXPOSED = b"Retry-After, X-Request-Id, X-Should-Retry"
_ALLOWED = "Authorization, *"  # the star does not stand for that one
_METHODS = "GET, POST, PUT, PATCH, DELETE"
Render = Callable[[str, ApiError], Response]
Matches = Callable[[Scope], bool]


class HttpGuard:
    """Checks where a request comes from, its sizes and its key before any route sees it, cancels it
    when its client leaves, and writes the log, which has no text of prompts.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        render: Render,
        is_public: Matches = lambda scope: False,
        takes_file: Matches = lambda scope: False,
    ):
        """Guards an application.

        Args:
          app: finds `caller`, `request_id` and `begin` in `request.state`; there is no `caller` if
            the route is public.
          service: its keys, limits and metrics.
          render: writes an error at a path in the dialect of that path.
          is_public: whether a request is answered without a key.
          takes_file: whether the route of a request reads its body in parts.
        """
        self._parts = app, service, render, is_public, takes_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, as ASGI asks for it."""
        if scope["type"] == "lifespan":
            await self._parts[0](scope, receive, send)
        elif scope["type"] == "http":
            await _Exchange(*self._parts, scope, receive, send).run()


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        app,
        service,
        render,
        is_public,
        takes_file,
        scope: Scope,
        receive: Receive,
        send: Send,
    ):
        self._app, self._service, self._render = app, service, render
        self._is_public, self._takes_file = is_public, takes_file
        self._scope, self._receive, self._send = scope, receive, send
        self._headers, self._state = _headers(scope), scope.setdefault("state", {})
        self._status, self._is_complete, self._key_id, self._n_read = 0, False, "-", 0
        self._is_ended = False
        self._added: list[tuple[bytes, bytes]] = []
        own_ids = (self._headers.get(name) for name in _ID_HEADERS)
        own_id = next(filter(None, own_ids), "")
        self._id = own_id if _REQUEST_ID.fullmatch(own_id) else uuid.uuid4().hex

    async def run(self) -> None:
        begin, self._task = time.monotonic(), asyncio.current_task()
        self._state.update(begin=begin, request_id=self._id)
        self._added.append((b"x-request-id", self._id.encode()))
        if self._service.admission.is_draining:
            self._added.append((b"connection", b"close"))
        try:
            with self._service.ended_by(self._end_soon):
                await self._serve()
        except asyncio.CancelledError:
            if not self._is_ended:
                raise
            self._task.uncancel()
            await self._refuse(shutting_down(self._service.config.retry_seconds))
        except ApiError as error:
            await self._refuse(error)
        except Exception:
            _LOG.exception("request %s failed", self._id)
            message = f"the server failed; its log has more about the request {self._id}"
            await self._refuse(ApiError(500, "internal_error", message))
        finally:
            self._log(time.monotonic() - begin)

    def _end_soon(self) -> None:
        """Ends the request, unless it does by itself: texts are, and streams then have an event."""

        def end() -> None:
            if not self._task.done():
                self._is_ended = True
                self._task.cancel()

        asyncio.get_running_loop().call_later(_END_SECONDS, end)

    async def _serve(self) -> None:
        config, path = self._service.config, self._scope["path"]
        check_size(self._scope, config)
        if {"content-length", "transfer-encoding"} <= self._headers.keys():
            # A balancer may believe the other one, and take the body's end for another request.
            self._added.append((b"connection", b"close"))
            text = "there are both Content-Length and Transfer-Encoding; send one of them"
            raise ApiError(400, "invalid_request", text)
        if path not in _BALANCED:
            check_host(self._headers.get("host", ""), config)
        if origin := self._headers.get("origin"):
            check_origin(origin, self._headers.get("host", ""), config)
            self._added += [(b"access-control-allow-origin", origin.encode()), (b"vary", b"Origin")]
            self._added.append((b"access-control-expose-headers", _EXPOSED))
            if self._scope["method"] == "OPTIONS":
                await self._answer(_preflight())
                return
        if path not in _BALANCED and not self._is_public(self._scope):
            await self._find_caller()
        takes_file = self._takes_file(self._scope)
        await self._watched(None if takes_file else await self._body())

    async def _find_caller(self) -> None:
        """Raises ApiError if nobody who may ask does: 401, or 403 for a page of somebody else."""
        secret, text = secret_of(self._headers), "send `Authorization: Bearer KEY`"
        if not secret and (secret := session_of(self._headers)):
            check_own_page(self._scope["method"], self._headers)
            text = "log in again, by a new link"
        caller = await asyncio.to_thread(self._service.keys.authenticate, secret)
        if caller is None:
            text = f"the key is missing, wrong or not active any more; {text}"
            raise ApiError(401, "invalid_api_key", text)
        self._key_id = caller.key_id
        caller.check_path(self._scope["path"])
        self._state["caller"] = caller

    async def _body(self) -> bytes:
        """Reads the whole body, so that no route waits for a slow client."""
        most, parts, size = self._service.config.body_bytes, [], 0
        declared = self._headers.get("content-length", "0")
        is_small = declared.isdigit() and int(declared) <= most
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while is_small:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "disconnected", "the body is not whole")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    is_small = size <= most
                    if is_small and not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise ApiError(408, "timeout", f"no whole body in {_BODY_SECONDS} seconds") from None
        raise self._too_large(most)

    def _too_large(self, most: int) -> ApiError:
        self._added.append((b"connection", b"close"))
        text = f"the body has more than {most:,} bytes, which the server takes; send less at once"
        return ApiError(413, "request_too_large", text)

    async def _part(self) -> Message:
        """Reads the next part of a file, so that the route writes it to the disk meanwhile."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "timeout", f"no part in {_BODY_SECONDS} seconds") from None
        if message["type"] == "http.disconnect":
            raise ApiError(400, "disconnected", "the body is not whole")
        self._n_read += len(message.get("body", b""))
        if self._n_read > self._service.config.file_bytes:
            raise self._too_large(self._service.config.file_bytes)
        return message

    async def _watched(self, body: bytes | None) -> None:
        """Runs the application until it is done or the client has left, which cancels it.

        Args:
          body: of the request; None: the application reads it in parts.
        """
        left, has_come, is_read = asyncio.Event(), asyncio.Event(), False
        if body is not None:
            has_come.set()

        async def receive() -> Message:
            nonlocal is_read
            if is_read:
                await left.wait()
                return {"type": "http.disconnect"}
            whole = {"type": "http.request", "body": body, "more_body": False}
            message = await self._part() if body is None else whole
            if not message.get("more_body"):
                is_read = True
                has_come.set()
            return message

        async def watch() -> None:
            await has_come.wait()
            while (await self._receive())["type"] != "http.disconnect":
                pass
            left.set()

        work = asyncio.create_task(self._app(self._scope, receive, self._pass_on))
        watcher = asyncio.create_task(watch())
        try:
            await asyncio.wait({work, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not self._is_complete:
                work.cancel()
            await asyncio.wait({work})
        except asyncio.CancelledError:  # the server ends, and the work ends before it
            work.cancel()
            await asyncio.wait({work}, timeout=_END_SECONDS)
            raise
        finally:
            work.cancel()
            watcher.cancel()
        if work.cancelled():
            self._status = 499  # as nginx logs a client that has left, in a stream too
        elif error := work.exception():
            raise error

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._added]}
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._is_complete = True
        await self._send(message)

    async def _refuse(self, error: ApiError) -> None:
        if not self._status:  # else the answer has begun, and ends here
            await self._answer(self._render(self._scope["path"], error))

    async def _answer(self, response: Response) -> None:
        await response(self._scope, self._receive, self._pass_on)

    def _log(self, seconds: float) -> None:
        endpoint = getattr(self._scope.get("endpoint"), "__name__", "none")
        metrics, status = self._service.metrics, str(self._status)
        metrics.answers.labels(endpoint, status).inc()
        metrics.whole_time.observe(seconds)
        path = shown(self._scope["path"])
        facts = self._scope["method"], path, status, seconds, self._key_id, self._id
        _LOG.info("%s %s %s %.3fs key=%s request=%s", *facts)


def check_size(scope: Scope, config: ServeConfig) -> None:
    """Raises ApiError (431) if the headers and the path are too large."""
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    size += len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if size > config.header_bytes:
        text = f"the headers have {size:,} bytes, and the server takes {config.header_bytes:,}"
        raise ApiError(431, "request_too_large", text)


def check_host(host: str, config: ServeConfig) -> None:
    """Raises ApiError (421) unless the request is for a name of this server: a page of another site
    whose name leads here (DNS rebinding) has the other name.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name not in (*_LOOPBACK, *config.hosts) and "*" not in config.hosts:
        text = f"Host: {shown(host)} is no name of this server; the option --allowed_host adds one"
        raise ApiError(421, "forbidden_host", text)


def check_origin(origin: str, host: str, config: ServeConfig) -> None:
    """Raises ApiError (403) unless a script is of a page of this server or of an allowed one."""
    if origin not in config.origins and _host_of(origin) != host:
        text = f"Origin: {shown(origin)} may not call; the option --allowed_origin adds one"
        raise ApiError(403, "forbidden_origin", text)


def secret_of(headers: Mapping[str, str]) -> str:
    """Returns the key that a request has in one of its headers; "" if there is none."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret:
        return secret.strip()
    return next((headers[name] for name in _KEY_HEADERS if headers.get(name)), "")


def session_of(headers: Mapping[str, str]) -> str:
    """Returns the secret of the session that a browser has as a cookie; "" if there is none."""
    return cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE, "")


def check_own_page(method: str, headers: Mapping[str, str]) -> None:
    """Raises ApiError (403) if a request that changes something is not of a page of this server:
    browsers send cookies with what pages of others ask, too. Where the connection is neither
    encrypted nor this machine's own, they send no Sec-Fetch-Site.
    """
    site, host = headers.get("sec-fetch-site"), _host_of(headers.get("origin", ""))
    is_own = site == "same-origin" if site else host != "" and host == headers.get("host")
    if method not in _SAFE_METHODS and not is_own:
        text = "a session may be used by pages of this server alone; send a key from elsewhere"
        raise ApiError(403, "forbidden_origin", text)


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}


def _preflight() -> Response:
    allowed = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": "600"}
    return Response(status_code=204, headers={**allowed, "Access-Control-Allow-Headers": _ALLOWED})
