"""Reads a folder of the transformers library as the parameters of a decoder, and as a run.

Everything that can be refused by names, dtypes, shapes and sizes is refused before a value is read.
Then each tensor is read on its own, and goes into its slice of the sharded array at once: the model
is never in memory twice, and no device holds more than its part.
"""

import dataclasses
import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.convert.config_json import read_model_config
from hclx.convert.safetensors_files import Tensor, read_folder
from hclx.convert.tensors import IGNORED, NAMES, Rule, rules
from hclx.errors import ConfigError, DataError
from hclx.model import Params, n_params, param_specs
from hclx.parallel import ShardingRules, make_mesh, named_sharding
from hclx.text import load_tokenizer
from hclx.text.foreign_tokenizer import COMPANIONS
from hclx.text.new_folder import new_folder
from hclx.text.tokenizer import METADATA_FILE, MODEL_FILE
from hclx.train.run_dir import claim_folder, describe_run, versions
from hclx.train.weights_checkpoint import save_weights

CONFIG = "config.json"
GIN = "model.gin"  # in the folder of a run that was imported
OWN_TOKENIZER = "hclx_tokenizer"  # folder of our own tokenizer in one that was exported
_LISTED = 5  # names that a message lists


class Source(NamedTuple):
    """A folder that was looked at, before any value is read.

    Attributes:
      folder: of config.json and weights.
      family: one of `hclx.convert.tensors.FAMILIES`.
      config: the shape of the model.
      tensors: name in the family's whole spelling -> tensor.
      ignored: names of buffers that hold nothing learned.
      notes: sentences on what the files decided.
    """

    folder: Path
    family: str
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


def look_at(folder: str | Path) -> Source:
    """Reads config.json and the headers of the weights, and compares them.

    Args:
      folder: as transformers saves a model.
    Raises:
      ConfigError: the family or a field of it is not supported.
      DataError: a file is missing or damaged, or a tensor is unknown, missing, or of another shape
        than config.json says.
    """
    folder = Path(folder)
    family, config = read_model_config(_read_json(folder / CONFIG), str(folder / CONFIG))
    tensors, notes = read_folder(folder), []
    tensors = _with_prefix(tensors, family)
    ignored = tuple(sorted(name for name in tensors if name.endswith(IGNORED)))
    kept = {name: tensor for name, tensor in tensors.items() if name not in ignored}
    config = _with_head(config, family, kept, notes)
    _compare(folder, rules(config, family), config, kept)
    return Source(folder, family, config, kept, ignored, tuple(notes))


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        wrong = f"{path.parent} is no folder" if path.parent.is_file() else f"{path} does not exist"
        raise DataError(f"{wrong}; give the folder of a model") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no JSON object")
    return content


def _with_prefix(tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """The tensors under their whole names: files of a model without its head lack the prefix."""
    embedding = NAMES[family]["embedding"] + ".weight"
    prefix, _, short = embedding.partition(".")
    if embedding in tensors or short not in tensors:
        return dict(tensors)
    head = NAMES[family].get("head", "lm_head") + "."
    whole = lambda name: name if name.startswith(head) else f"{prefix}.{name}"
    return {whole(name): tensor for name, tensor in tensors.items()}


def _with_head(
    config: ModelConfig, family: str, tensors: dict[str, Tensor], notes: list[str]
) -> ModelConfig:
    """The shape with the head that the file has: a tensor of its own, or the token embedding.

    A head that only repeats the embedding, where config.json says that it is tied, is dropped.
    """
    name = NAMES[family].get("head", "lm_head") + ".weight"
    if name not in tensors:
        if not config.tied_head:
            notes.append(f"config.json does not tie the head, but the file has no {name}: tied")
        return dataclasses.replace(config, tied_head=True)
    if config.tied_head:
        embedding = tensors.get(NAMES[family]["embedding"] + ".weight")
        head = tensors[name]
        if embedding and embedding.shape == head.shape and _are_equal(embedding, head):
            notes.append(f"{name} equals the embedding, to which config.json ties it: tied")
            del tensors[name]
            return config
        notes.append(f"config.json ties the head, but the file has another {name}: not tied")
    return dataclasses.replace(config, tied_head=False)


def _are_equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and np.array_equal(a.read(), b.read())


def _compare(
    folder: Path, model_rules: list[Rule], config: ModelConfig, tensors: Mapping[str, Tensor]
) -> None:
    expected = {
        name.format(n=layer): shape
        for rule in model_rules
        for name, shape in zip(rule.theirs, rule.shapes)
        for layer in (range(config.n_layers) if "{n}" in name else [None])
    }
    for what, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("holds tensors that are no part of this model:", tensors.keys() - expected.keys()),
    ):
        if names:
            listed = ", ".join(sorted(names)[:_LISTED])
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            raise DataError(f"{folder} {what} {listed}{more}, by its {CONFIG}")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise DataError(
                f"{tensors[name].path}: {name} has shape {list(tensors[name].shape)}, and by"
                f" {CONFIG} it must be {list(shape)}"
            )


def read_params(source: Source, mesh: Mesh, sharding_rules: ShardingRules | None = None) -> Params:
    """Reads the weights onto a mesh, slice by slice.

    Args:
      source: as `look_at` returns it.
      mesh: the devices.
      sharding_rules: the layout; default: that of training.
    Returns:
      The parameters, float32.
    Raises:
      DataError: a value is not finite, or a file is truncated meanwhile.
      ConfigError: a parameter cannot be sharded evenly.
    """
    specs = param_specs(source.config)
    names = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    flat = {names(path): spec for path, spec in jax.tree_util.tree_flatten_with_path(specs)[0]}
    sharding = lambda axes, path, shape: named_sharding(mesh, axes, shape, path, sharding_rules)
    wholes = {path: sharding(spec.axes, path, spec.shape) for path, spec in flat.items()}
    arrays = {}
    # The embedding and the head first: they are the largest tensors, and a tensor is in memory
    # twice for a moment.
    in_layers = lambda rule: "{n}" in rule.theirs[0]
    for rule in sorted(rules(source.config, source.family), key=in_layers):
        layers = range(source.config.n_layers) if in_layers(rule) else [None]
        for layer in layers:
            values = [_finite(source, name.format(n=layer)) for name in rule.theirs]
            for path, part in zip(rule.ours, rule.pack(*values)):
                part, spec = np.ascontiguousarray(part), flat[path]
                if layer is None:
                    arrays[path] = _place(part, wholes[path])
                    continue
                if layer == 0:
                    arrays[path] = _zeros(spec.shape, wholes[path])
                one_layer = _place(part, sharding(spec.axes[1:], path, spec.shape[1:]))
                arrays[path] = _set_layer(arrays[path], one_layer, layer)
                arrays[path].block_until_ready()  # so that no more than one slice waits
    structure = jax.tree.structure(specs)
    return structure.unflatten([arrays[path] for path in flat])


def _finite(source: Source, name: str) -> np.ndarray:
    values = source.tensors[name].read()
    if not np.isfinite(values).all():
        raise DataError(
            f"{source.tensors[name].path}: {name} holds values that are not finite; the file is"
            " damaged, or the model diverged"
        )
    return values


def _place(values: np.ndarray, sharding) -> jax.Array:
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


@functools.cache
def _zeros_of(sharding):
    return jax.jit(lambda shape: jnp.zeros(shape), static_argnums=0, out_shardings=sharding)


def _zeros(shape: tuple[int, ...], sharding) -> jax.Array:
    return _zeros_of(sharding)(shape)


@functools.partial(jax.jit, donate_argnums=0)
def _set_layer(stacked: jax.Array, values: jax.Array, layer: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stacked, values, layer, axis=0)


def import_model(input_dir: str | Path, model_dir: str | Path) -> tuple[Source, int]:
    """Makes a run of a folder of transformers: step 0 of it, and its tokenizer. `hclx generate`
    reads it, `--init_from` begins with it, `hclx convert export` writes it again.

    Args:
      input_dir: the folder.
      model_dir: of the run, missing or an empty folder; it appears whole or not at all.
    Returns:
      What was imported, and the number of its parameters.
    Raises:
      ConfigError: the model is not supported, or `model_dir` is not empty.
      DataError: a file is missing or damaged.
    """
    source, model_dir = look_at(input_dir), Path(model_dir)
    if model_dir.exists() and (not model_dir.is_dir() or any(model_dir.iterdir())):
        raise ConfigError(f"--model_dir={model_dir} exists and is not empty; name another folder")
    tokenizer_files = _tokenizer_files(source.folder)
    tokenizer = load_tokenizer(tokenizer_files[0].parent)
    if tokenizer.vocab_size > source.config.vocab_size:
        raise DataError(
            f"{source.folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, and the model"
            f" rows for {source.config.vocab_size:,}"
        )
    params = read_params(source, make_mesh(MeshConfig()))
    length = min(source.config.max_length, TrainConfig().sequence_length)
    experiment = Experiment(
        model=source.config,
        compute=ComputeConfig(),
        mesh=MeshConfig(),
        optimizer=OptimizerConfig(),
        data=DataConfig(mixture=f"imported from {source.folder.resolve().name}"),
        tokenizer=TokenizerConfig(),
        train=TrainConfig(sequence_length=length),
    )
    with new_folder(model_dir) as folder:
        own = folder / "tokenizer"
        own.mkdir()
        for path in tokenizer_files:
            shutil.copyfile(path, own / path.name)
        hashes = {"vocabulary": tokenizer.fingerprint, "text": ""}
        claim_folder(folder, describe_run(experiment, str(own), hashes))
        (folder / GIN).write_text(_bindings(source.config, model_dir), encoding="utf-8")
        meta = {"hashes": hashes, "versions": versions(), "init_from": None}
        save_weights(folder, params, {**meta, "model": dataclasses.asdict(source.config)})
    return source, n_params(source.config)


def _bindings(config: ModelConfig, model_dir: Path) -> str:
    """The gin file with which another run has the same model and tokenizer."""
    fields = {f"ModelConfig.{name}": value for name, value in vars(config).items()}
    fields["DataConfig.tokenizer_dir"] = str((model_dir / "tokenizer").absolute())
    lines = [f"{name} = {value!r}" for name, value in fields.items()]
    head = "# The shape of an imported model, and its tokenizer; beside it: --init_from=THIS_FOLDER"
    return "\n".join([head, *lines, ""])


def _tokenizer_files(folder: Path) -> list[Path]:
    """The files of the tokenizer of a folder, the one that must exist first."""
    own = folder / OWN_TOKENIZER
    if (own / METADATA_FILE).is_file():
        return [own / METADATA_FILE, own / MODEL_FILE]
    files = [folder / name for name in COMPANIONS]
    if not files[0].is_file():
        raise DataError(
            f"{files[0]} does not exist; a model is imported together with its tokenizer"
        )
    return [path for path in files if path.is_file()]
