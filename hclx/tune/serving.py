"""Artefacts as the engine takes them: see `hclx.infer.adapters`."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.infer import LoadedModel
from hclx.infer.adapters import Adapter
from hclx.infer.model_source import Artefacts
from hclx.model import Prefix
from hclx.train.fingerprint import fingerprint
from hclx.tune.artefact import Artefact, base_fingerprint, check_artefact, read_artefact
from hclx.tune.lora import changes_by_weight
from hclx.tune.methods import without_encoder
from hclx.tune.prefix_tuning import make_prefix


def adapter_of(artefact: Artefact) -> Adapter:
    """Returns what an artefact adds to its base, without an encoder or an MLP."""
    model = artefact.model
    config, tune = without_encoder(artefact.tune, model, artefact.config)
    if config.kind == "prefix_tune":
        return Adapter(prefix=Prefix(*map(np.asarray, make_prefix(tune))))
    if config.kind == "lora":
        return Adapter(
            low_rank={
                (part, leaf): (np.asarray(a), np.asarray(b) * np.float32(config.scale))
                for part, leaf, _, a, b in changes_by_weight(jax.device_get(tune), model)
            }
        )
    return Adapter(slots_pd=np.asarray(tune["table"]))


def adapter_for(artefact: Artefact, model: LoadedModel, path: str | Path = "") -> Adapter:
    """Returns the adapter of an artefact for a model of a run.

    Args:
      artefact: as `hclx.tune.artefact.read_artefact` returns it.
      model: as `hclx.infer.load_for_inference` returns it.
      path: of the artefact's file, for messages.
    Raises:
      DataError: the artefact is that of another base or tokenizer, or for vectors or pairs.
    """
    if not artefact.config.writes_text:
        raise DataError(
            f"{path or 'the artefact'} was tuned with TuneConfig.objective="
            f"{artefact.config.objective!r}, for vectors or pairs of texts, and writes none;"
            " hclx.tune.text_reader reads it"
        )
    meta = model.meta
    check_artefact(
        artefact, base_fingerprint(meta["fingerprint"]), meta["hashes"]["vocabulary"], path
    )
    return adapter_of(artefact)


def read_artefacts(settings: Sequence[str], takes_names: bool) -> Artefacts:
    """Reads the artefacts of a command.

    Args:
      settings: texts FILE or NAME=FILE. The one without a name is that of all requests which name
        none, and has its file as its name.
      takes_names: whether requests name artefacts; else there is one, which is that of all.
    Raises:
      ConfigError: two have no name, or the same one; or there are several, and none is named.
      DataError: a file is damaged or no artefact.
      OSError: a file cannot be read.
    """
    files: dict[str, str] = {}
    defaults = []
    for setting in settings:
        name, equals, path = setting.partition("=")
        if not equals or "/" in name or Path(setting).exists():
            name = path = setting
        if name in files or not name or not path:
            raise ConfigError(
                f"--artefact={setting}: give FILE or NAME=FILE, and each file and name once"
            )
        files[name] = path
        defaults += [name] if name == path or not takes_names else []
    if len(defaults) > 1:
        raise ConfigError(
            f"--artefact={defaults[1]}: all texts have one artefact; lines of `hclx generate"
            " --prompts` may have others: give these as NAME=FILE"
        )
    artefacts = {name: read_artefact(path) for name, path in files.items()}
    return Artefacts(
        {name: _described(artefact) for name, artefact in artefacts.items()},
        defaults[0] if defaults else None,
        lambda model: {
            name: adapter_for(artefact, model, files[name]) for name, artefact in artefacts.items()
        },
    )


def _described(artefact: Artefact) -> dict[str, str]:
    """The kind of an artefact and a fingerprint of its parameters, which tell it from others."""
    return {"kind": artefact.config.kind, "fingerprint": json_hash(fingerprint(artefact.tune))}
