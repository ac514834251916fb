"""The artefact of tuning: one small file with what was trained, for one base.

It is a safetensors file. Its tensors are the parameters of the method, by their paths; its header
has one text, "hclx", the head as JSON:

  format, version     of the file
  kind, settings      the method, and the fields of `TuneConfig`
  model               the fields of the base's `ModelConfig`
  base, tokenizer     fingerprints: the artefact is for these alone
  prompt, data        the prompt document and the hash of the data, or null
  metrics             name -> number
  tensors             path -> fingerprint
  hash                of all others
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from hclx.convert.small_safetensors import read_whole, replace_file, to_bytes
from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.train.fingerprint import fingerprint
from hclx.tune.methods import tune_specs
from hclx.tune.tune_config import TuneConfig

FORMAT, VERSION = "hclx-tune", 1
_HEAD = "hclx"  # the name of the head in the file's header


@dataclasses.dataclass(frozen=True)
class Artefact:
    """The parameters that were trained, and what they belong to.

    Attributes:
      config: the method and its settings.
      tune: its parameters, float32, the tree under "tune".
      model: the base's shape.
      base: the base's fingerprint: see `base_fingerprint`.
      tokenizer: the fingerprint of its vocabulary, as runs and caches have it.
      prompt: the prompt document, as JSON; None: there is none.
      data: the hash of the data; "": it is not known.
      metrics: name -> number.
    """

    config: TuneConfig
    tune: Params
    model: ModelConfig
    base: str
    tokenizer: str
    prompt: dict | None = None
    data: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


def base_fingerprint(fingerprints: Mapping[str, str]) -> str:
    """The fingerprint of a base as a whole, the same on any mesh.

    Args:
      fingerprints: path of a parameter -> fingerprint, as `hclx.train.fingerprint.fingerprint`
        gives them of the float32 parameters, or a checkpoint has them in its item `meta`.
    """
    is_checkpoint = any(path.startswith("params/") for path in fingerprints)
    own = {
        path.removeprefix("params/"): value
        for path, value in fingerprints.items()
        if not is_checkpoint or path.startswith("params/")
    }
    return json_hash(own)


def write_artefact(path: str | Path, artefact: Artefact) -> None:
    """Writes an artefact; the file appears whole, or stays as it was.

    Raises:
      ConfigError: all parameters were trained, which a checkpoint holds.
      OSError: the file cannot be written.
    """
    if artefact.config.kind == "finetune":
        raise ConfigError(
            "TuneConfig.kind='finetune' trains the whole model; its checkpoint is the result"
        )
    tensors = _flat(jax.device_get(artefact.tune))
    head = {
        "format": FORMAT,
        "version": VERSION,
        "kind": artefact.config.kind,
        "settings": dataclasses.asdict(artefact.config),
        "model": dataclasses.asdict(artefact.model),
        "base": artefact.base,
        "tokenizer": artefact.tokenizer,
        "prompt": artefact.prompt,
        "data": artefact.data or None,
        "metrics": dict(artefact.metrics),
        "tensors": fingerprint(tensors),
    }
    text = json.dumps({**head, "hash": json_hash(head)}, ensure_ascii=False)
    replace_file(Path(path), to_bytes(tensors, {_HEAD: text}))


def read_artefact(path: str | Path) -> Artefact:
    """Reads an artefact and verifies each of its parts.

    Raises:
      DataError: the file is damaged, of another kind, or of a newer version.
      OSError: it cannot be read.
    """
    path = Path(path)
    tensors, metadata = read_whole(path)
    head = _head(path, metadata)
    wrong = sorted(
        name
        for name in {*tensors, *head["tensors"]}
        if name not in tensors
        or fingerprint({name: tensors[name]}) != {name: head["tensors"].get(name)}
    )
    if wrong:
        raise DataError(f"{path} is damaged: {wrong[0]} is not what was saved; get the file again")
    try:
        config, model = TuneConfig(**head["settings"]), ModelConfig(**head["model"])
        specs = _flat(tune_specs(model, config))
        shapes = {name: spec.shape for name, spec in specs.items()}
    except (TypeError, ConfigError) as error:
        raise DataError(f"{path}: its settings cannot be read: {error}") from error
    if shapes != {name: array.shape for name, array in tensors.items()}:
        raise DataError(f"{path}: its tensors are not those of its settings, {config}")
    return Artefact(
        config,
        _nested(tensors),
        model,
        *(head[name] for name in ("base", "tokenizer", "prompt")),
        data=head["data"] or "",
        metrics=head["metrics"],
    )


def check_artefact(artefact: Artefact, base: str, tokenizer: str, path: str | Path = "") -> None:
    """Refuses an artefact of another base or tokenizer.

    Args:
      artefact: what was read.
      base: the fingerprint of the base that it is for: see `base_fingerprint`.
      tokenizer: that of its vocabulary.
      path: of the file, for the message.
    Raises:
      DataError: names what is another one.
    """
    name = str(path) or "the artefact"
    for kind, own, other in (
        ("base", artefact.base, base),
        ("tokenizer", artefact.tokenizer, tokenizer),
    ):
        if own != other:
            raise DataError(
                f"{name} was tuned on another {kind}, {own[:16]}, and this is {other[:16]}; give"
                f" the {'model' if kind == 'base' else kind} that it was tuned on"
            )


def slots_of(artefact: Artefact, path: str | Path = "") -> range:
    """Returns the ids of the soft slots of an artefact.

    Args:
      artefact: what was read.
      path: of the file, for the message.
    Raises:
      ConfigError: it has none.
    """
    kind, first = artefact.config.kind, artefact.model.vocab_size
    if kind not in ("prompt_tune", "p_tune"):
        raise ConfigError(f"{path or 'the artefact'} is of {kind}, which has no soft slots")
    return range(first, first + artefact.config.length)


def _head(path: Path, metadata: Mapping[str, str]) -> dict:
    try:
        head = json.loads(metadata.get(_HEAD, "null"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its head is damaged: {error}; get the file again") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DataError(f"{path} is no artefact of tuning; a folder of PEFT is imported, not read")
    version = head.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise DataError(
            f"{path} has version {version}, and this version of hclx reads up to {VERSION}; use a"
            " newer one"
        )
    if head.pop("hash", None) != json_hash(head):
        raise DataError(f"{path}: its head is damaged; get the file again")
    return head


def _flat(tree: Params) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _nested(arrays: Mapping[str, np.ndarray]) -> Params:
    tree: Params = {}
    for path, array in arrays.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array
    return tree
