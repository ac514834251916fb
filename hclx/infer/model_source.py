"""Finds the model of a command: in the folder of a run, or at a server."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from hclx.errors import ConfigError
from hclx.hashing import json_hash
from hclx.infer.adapted_engine import AdaptedEngine
from hclx.infer.adapters import Adapter
from hclx.infer.calls import most_positions
from hclx.infer.embedded import EmbeddedEngine
from hclx.infer.engine_config import EngineConfig
from hclx.infer.followers import follow
from hclx.infer.load import LoadedModel, inference_mesh, load_for_inference
from hclx.infer.remote import RemoteConfig, RemoteEngine
from hclx.model import n_params
from hclx.parallel import axis_size
from hclx.text import Tokenizer, load_tokenizer
from hclx.train.compilation_cache import keep_compiled_programs
from hclx.train.whole_model import read_whole_model

KEY_VARIABLE = "HCLX_ENGINE_KEY"


@dataclasses.dataclass(frozen=True)
class ReadBy:
    """How the model of a run reads text.

    Attributes:
      tokenizer: its tokenizer.
      max_length: the most tokens of a prompt and its continuation.
      facts: what tells the model apart in a result: its step, parameters and fingerprints.
      slots: the ids of the soft slots of the artefact that all requests have.
    """

    tokenizer: Tokenizer
    max_length: int
    facts: Mapping[str, Any]
    slots: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Artefacts:
    """The artefacts of a command.

    Attributes:
      record: name -> what texts depend on, JSON.
      default: the name of the one that requests have which name none; None: these have none.
      load: returns name -> adapter, for a model; raises DataError if one is not for this model.
    """

    record: Mapping[str, Any]
    default: str | None
    load: Callable[[LoadedModel], Mapping[str, Adapter]]


class RunFolder:
    """The model of a training run.

    Attributes:
      record: what texts of the model depend on.
      reads: how it reads, once it is open.
      loaded: the model, once it is open.
    """

    reads: "ReadBy | None" = None
    loaded: LoadedModel | None = None

    def __init__(
        self,
        model_dir: str,
        step: int | None,
        dtype: str | None,
        rows: int,
        shards: int = 0,
        artefacts: Artefacts | None = None,
    ):
        """Takes a folder.

        Args:
          model_dir, step, dtype: see `load_for_inference`.
          rows: the requests that are served at once, or a few more, so that the mesh divides them.
          shards: see `inference_mesh`.
          artefacts: that requests may have; None: there are none.
        """
        self._rows, self._shards, self._artefacts = rows, shards, artefacts
        self._run = {"model_dir": model_dir, "step": step, "dtype": dtype}
        own = {} if artefacts is None else {"artefacts": artefacts.record}
        self.record: Mapping[str, Any] = {**self._run, **own}

    def open(self) -> EmbeddedEngine | AdaptedEngine | contextlib.nullcontext[None]:
        """Loads the model, and returns its engine; of several processes, only process 0 has one:
        the others follow it until it is closed, and have None.

        Raises:
          DataError: an artefact is not for this model.
          CheckpointError, ConfigError: as `load_for_inference`.
        """
        keep_compiled_programs()
        experiment, _ = read_whole_model(self._run["model_dir"])
        mesh = inference_mesh(experiment.model, self._shards)
        model = load_for_inference(**self._run, mesh=mesh)
        vocabulary = model.meta["hashes"]["vocabulary"]
        tokenizer = load_tokenizer(model.tokenizer_dir, fingerprint=vocabulary)
        if jax.process_index() != 0:
            follow(model)
            return contextlib.nullcontext()
        with model.placement():
            groups = axis_size("batch")
        rows = -(-self._rows // groups) * groups
        self.loaded = model
        self.reads = ReadBy(tokenizer, most_positions(model.config), _facts(model, vocabulary))
        engine = EmbeddedEngine(model, tokenizer, EngineConfig(rows=rows))
        return engine if self._artefacts is None else self._with_artefacts(engine, model)

    def _with_artefacts(
        self, engine: EmbeddedEngine, model: LoadedModel
    ) -> EmbeddedEngine | AdaptedEngine:
        """Adds the artefacts, and lets all requests have the default one."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(engine)  # an error ends it
            adapters = self._artefacts.load(model)
            for name, adapter in adapters.items():
                engine.add_adapter(name, adapter)
            stack.pop_all()
        default = self._artefacts.default
        if default is None:
            return engine
        first, adapter = model.config.vocab_size, adapters[default]
        self.reads = dataclasses.replace(
            self.reads,
            max_length=self.reads.max_length - adapter.n_prefix,
            slots=tuple(range(first, first + adapter.n_slots)),
        )
        return AdaptedEngine(engine, default)

    def facts(self) -> dict[str, Any]:
        """Returns what tells the open model apart in a result: its name, step and fingerprints."""
        name = os.path.basename(os.path.abspath(self._run["model_dir"]))
        if self._artefacts is not None and self._artefacts.default is not None:
            # The file is called the same in every run of tuning; the folder is not.
            *folders, file = Path(self._artefacts.default).parts
            stem = Path(file).stem
            name += f"+{folders[-1] if folders and stem == 'artefact' else stem}"
        return {"name": name, **self.record, **self.reads.facts}


def _facts(model: LoadedModel, vocabulary: str) -> dict[str, Any]:
    return {
        "step": model.meta["step"],
        "parameters": n_params(model.config),
        "fingerprint": json_hash(model.meta["fingerprint"]),
        "tokenizer": vocabulary,
    }


class ServedModel:
    """A model of a server.

    Attributes:
      record: what texts of the model depend on.
      reads: None, because a server does not tell how the model reads.
    """

    reads = None

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

    def facts(self) -> dict[str, Any]:
        """Returns what tells the model apart in a result."""
        return {"name": self._engine.model, **self.record}


def model_source(
    model_dir: str | None,
    step: int | None,
    dtype: str | None,
    engine: str | None,
    model: str | None,
    rows: int,
    shards: int = 0,
    artefacts: Artefacts | None = None,
) -> RunFolder | ServedModel:
    """Returns the source that the options of a command name.

    Args:
      model_dir, step, dtype: of a run; see `load_for_inference`.
      engine: the address of a server, in place of these.
      model: the name that the server gives the model.
      rows: the requests that are served at once.
      shards: the devices that share the heads of a run's model; see `inference_mesh`.
      artefacts: that requests may have; a server has its own.
    Raises:
      ConfigError: options do not go together, or as `RemoteEngine`.
      ServerError: as `RemoteEngine`.
    """
    of_run = {"model_dir": model_dir, "step": step, "dtype": dtype, "model_shards": shards or None}
    if engine is None:
        if model is not None:
            raise ConfigError(f"--model={model} names a model of a server: give --engine=URL too")
        return RunFolder(model_dir, step, dtype, rows, shards, artefacts)
    if artefacts is not None:
        raise ConfigError(
            f"--artefact={next(iter(artefacts.record))} does not go with --engine: a server has"
            " adapters of its own; name one of them with --model"
        )
    for name, value in of_run.items():
        if value is not None:
            raise ConfigError(f"--{name}={value} does not go with --engine: the server has a model")
    return ServedModel(engine, model, rows)
