"""Finds the model of a command: in the folder of a run, or at a server."""

import os
from collections.abc import Mapping
from typing import Any

from hclx.errors import ConfigError
from hclx.infer.embedded import EmbeddedEngine
from hclx.infer.engine_config import EngineConfig
from hclx.infer.load import load_for_inference
from hclx.infer.remote import RemoteConfig, RemoteEngine
from hclx.text import load_tokenizer
from hclx.train.compilation_cache import keep_compiled_programs

KEY_VARIABLE = "HCLX_ENGINE_KEY"


class RunFolder:
    """The model of a training run.

    Attributes:
      record: what texts of the model depend on.
    """

    def __init__(self, model_dir: str, step: int | None, dtype: str | None, rows: int):
        """Takes a folder; see `load_for_inference`. `rows` requests are served at once."""
        self._rows = rows
        self.record: Mapping[str, Any] = {"model_dir": model_dir, "step": step, "dtype": dtype}

    def open(self) -> EmbeddedEngine:
        """Loads the model."""
        keep_compiled_programs()
        model = load_for_inference(**self.record)
        vocabulary = model.meta["hashes"]["vocabulary"]
        tokenizer = load_tokenizer(model.tokenizer_dir, fingerprint=vocabulary)
        return EmbeddedEngine(model, tokenizer, EngineConfig(rows=self._rows))


class ServedModel:
    """A model of a server.

    Attributes:
      record: what texts of the model depend on.
    """

    def __init__(self, url: str, model: str | None, rows: int):
        """Asks the server what it serves. The key is in the environment, as `KEY_VARIABLE`, because
        all users of a machine see its command lines. `rows` requests are sent at once.
        """
        key, settings = os.environ.get(KEY_VARIABLE), RemoteConfig(requests=rows)
        self._engine = RemoteEngine(url, model, key=key, settings=settings)
        self.record: Mapping[str, Any] = {
            "engine": self._engine.address,
            "model": self._engine.model,
        }

    def open(self) -> RemoteEngine:
        """Returns the engine, which is open already."""
        return self._engine


def model_source(
    model_dir: str | None,
    step: int | None,
    dtype: str | None,
    engine: str | None,
    model: str | None,
    rows: int,
) -> RunFolder | ServedModel:
    """Returns the source that the options of a command name.

    Args:
      model_dir, step, dtype: of a run; see `load_for_inference`.
      engine: the address of a server, in place of these.
      model: the name that the server gives the model.
      rows: the requests that are served at once.
    Raises:
      ConfigError: options do not go together, or as `RemoteEngine`.
      ServerError: as `RemoteEngine`.
    """
    of_run = {"model_dir": model_dir, "step": step, "dtype": dtype}
    if engine is None:
        if model is not None:
            raise ConfigError(f"--model={model} names a model of a server: give --engine=URL too")
        return RunFolder(model_dir, step, dtype, rows)
    for name, value in of_run.items():
        if value is not None:
            raise ConfigError(f"--{name}={value} does not go with --engine: the server has a model")
    return ServedModel(engine, model, rows)
