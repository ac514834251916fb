"""Artefacts as the engine takes them: see `hclx.infer.adapters`."""

from pathlib import Path

import jax
import numpy as np

from hclx.infer import LoadedModel
from hclx.infer.adapters import Adapter
from hclx.model import Prefix
from hclx.tune.artefact import Artefact, base_fingerprint, check_artefact
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
      DataError: the artefact is that of another base or tokenizer.
    """
    meta = model.meta
    check_artefact(
        artefact, base_fingerprint(meta["fingerprint"]), meta["hashes"]["vocabulary"], path
    )
    return adapter_of(artefact)
