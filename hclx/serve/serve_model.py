"""Serves the model that the options of a command name."""

import contextlib
import dataclasses
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hclx.errors import ConfigError, require
from hclx.infer import Engine
from hclx.infer.model_source import RunFolder, ServedModel
from hclx.serve.backend import Backend
from hclx.serve.dialect import Dialect
from hclx.serve.http_server import serve
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import DIALECTS, build_app
from hclx.serve.service import Service
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.chat_template import ChatTemplate

if TYPE_CHECKING:
    from hclx.serve.store.key_store import KeyStore

_LOG = logging.getLogger(__name__)


def serve_model(
    source: RunFolder | ServedModel,
    name: str | None,
    reading: tuple[str | None, int | None],
    config: ServeConfig,
    host: str,
    port: int,
    warms_up: bool = False,
    keys: "KeyStore | None" = None,
    rules: OutputRules = OutputRules(),
    tuning_dir: str | None = None,
    tuning: TuningConfig = TuningConfig(),
    added: Sequence[Callable[[Service], Dialect]] = (),
    notice: Callable[[], str] | None = None,
) -> None:
    """Opens a model and serves it until the process is asked to end.

    Args:
      source: of the model.
      name: by which clients ask for it; None: that of its folder or of the server behind.
      reading: the folder of the tokenizer and the most tokens, which a server does not tell.
      config, host, port: see `hclx.serve.server`.
      warms_up: whether all programs are compiled first.
      keys: who may call; None: everyone.
      rules: what is done with texts before they leave.
      tuning_dir: takes the files of tuning, for which `keys` are those of a store; None: nothing is
        tuned here.
      tuning: the limits of tuning.
      added: make dialects that are asked before all others.
      notice: returns a line that is printed once the model is open.
    Raises:
      ConfigError: the options do not suffice, or the address cannot be listened at.
    """
    check_reading(source, reading)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(source.open())
        if engine is None:  # this process has followed process 0 to its end
            return
        backend = dataclasses.replace(open_backend(source, engine, name, reading), rules=rules)
        own = ()
        if keys is not None:
            from hclx.serve.store_dialects import store_dialects

            asked = keys.database, source, engine, backend, tuning_dir, tuning
            own = stack.enter_context(store_dialects(*asked))
        if warms_up and hasattr(engine, "warm_up"):  # with the artefacts that there are
            engine.warm_up()
        app = build_app(backend, keys, config, (*added, *own, *DIALECTS))
        names = ", ".join(backend.models)
        print(f"serving {names} at http://{host}:{port}/v1", file=sys.stderr, flush=True)
        if notice is not None:
            print(notice(), file=sys.stderr, flush=True)
        serve(app, host, port)


def keys_of_store(url: str | None) -> "contextlib.AbstractContextManager[KeyStore | None]":
    """Returns a context that has the keys of a store; None without an address. Raises
    MissingExtraError if the libraries of stores are not installed.
    """
    if not url:
        return contextlib.nullcontext()
    require("sqlalchemy")
    from hclx.serve.store.key_store import open_keys

    return open_keys(url)


def check_reading(source: RunFolder | ServedModel, reading: tuple[str | None, int | None]) -> None:
    """Raises ConfigError if it is not known how the model of a server reads."""
    if isinstance(source, ServedModel) and None in reading:
        raise ConfigError(
            "--engine needs --tokenizer_dir and --max_length, which that server does not tell"
        )


def open_backend(
    source: RunFolder | ServedModel,
    engine: Engine,
    name: str | None,
    reading: tuple[str | None, int | None],
) -> Backend:
    """Returns the backend over the engine of a source; see `serve_model`."""
    folder, longest = reading
    if source.reads is None:
        tokenizer = load_tokenizer(folder)
    else:
        tokenizer, own_longest = source.reads.tokenizer, source.reads.max_length
        if (longest or own_longest) > own_longest:
            raise ConfigError(f"--max_length={longest}: the model reads {own_longest}; give less")
        longest = longest or own_longest
    facts = source.facts()
    artefacts = {artefact: artefact for artefact in source.record.get("artefacts", {})}
    models = {name or facts["name"]: None, **artefacts}
    keeps_tenants = getattr(engine, "keeps_tenants", True)
    if not keeps_tenants:
        _LOG.warning(
            "%s does not keep the prefix caches of tenants apart: see docs/serving.md",
            facts["engine"],
        )
    template = template_of(tokenizer)
    return Backend(engine, tokenizer, models, longest, facts["name"], template, keeps_tenants)


def template_of(tokenizer: Tokenizer) -> ChatTemplate | None:
    """Returns the template of chats of a tokenizer; None if it has none."""
    return ChatTemplate(tokenizer) if getattr(tokenizer, "chat_template", "") else None


def check_address(host: str, port: int, is_open: bool = True) -> None:
    """Checks an address before a model is loaded, and warns of one that others reach if a server
    that `is_open` asks for no key.

    Raises:
      ConfigError: it is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigError(
            f"--host={host} --port={port} cannot be listened at: {error}; give another"
        ) from error
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if is_open and not is_loopback:
        _LOG.warning("others reach %s: everyone there may use the model", host)
