"""Reads a folder of the transformers library as the parameters of a decoder, and as a run.

Everything that can be refused by names, dtypes, shapes and sizes is refused before a value is read.
Then tensors are read one by one, and large ones part by part, and each part goes to its place in
the checkpoint at once: the model is never in memory.
"""

import dataclasses
import functools
import json
import shutil
from collections.abc import Iterator, Mapping
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
from hclx.convert.pickles import convert_pickles
from hclx.convert.safetensors_files import Tensor, read_folder
from hclx.convert.tensors import IGNORED, NAMES, Rule, in_order, rules
from hclx.errors import ConfigError, DataError
from hclx.model import Params, abstract_params, n_params, param_specs
from hclx.parallel import ShardingRules, named_sharding
from hclx.progress import ProgressBar
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.foreign_tokenizer import COMPANIONS
from hclx.text.new_folder import new_folder
from hclx.text.tokenizer import METADATA_FILE, MODEL_FILE
from hclx.train.row_ranges import row_ranges
from hclx.train.run_dir import claim_folder, describe_run, versions
from hclx.train.weights_checkpoint import Rows, save_weights

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
    head = NAMES[family]["head"] + "."
    whole = lambda name: name if name.startswith(head) else f"{prefix}.{name}"
    return {whole(name): tensor for name, tensor in tensors.items()}


def _with_head(
    config: ModelConfig, family: str, tensors: dict[str, Tensor], notes: list[str]
) -> ModelConfig:
    """The shape with the head that the file has: a tensor of its own, or the token embedding.

    A head that only repeats the embedding, where config.json says that it is tied, is dropped.
    """
    name = NAMES[family]["head"] + ".weight"
    if name not in tensors:
        if not config.tied_head:
            notes.append(f"config.json does not tie the head, but the file has no {name}: tied")
        return dataclasses.replace(config, tied_head=True)
    embedding = tensors.get(NAMES[family]["embedding"] + ".weight")
    if embedding and embedding.equals(tensors[name]):
        if config.tied_head:
            notes.append(f"{name} equals the embedding, to which config.json ties it: tied")
            del tensors[name]
            return config
        notes.append(f"{name} equals the embedding, and stays a matrix of its own")
    elif config.tied_head:
        notes.append(f"config.json ties the head, but the file has another {name}: not tied")
    return dataclasses.replace(config, tied_head=False)


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


def parts_of(source: Source) -> Iterator[Rows]:
    """Reads the weights as parts of parameters, float32, in about the order of the files.

    Raises:
      DataError: a value is not finite, or a file is truncated meanwhile.
    """
    n_bytes = sum(tensor.nbytes for tensor in source.tensors.values())
    with ProgressBar(n_bytes, "import", "byte") as progress:
        for rule, layer in in_order(rules(source.config, source.family), source.config):
            if layer is None:
                (path,), (name,) = rule.ours, rule.theirs
                for begin, end in row_ranges(source.tensors[name].shape):
                    (values,) = rule.pack(_finite(source, name, begin, end))
                    yield Rows(path, begin, values)
            else:
                for path, values in zip(rule.ours, _layer(source, rule, layer)):
                    yield Rows(path, layer, values[None])
            names = (name.format(n=layer) for name in rule.theirs)
            progress.update(sum(source.tensors[name].nbytes for name in names))


def _layer(source: Source, rule: Rule, layer: int) -> tuple[np.ndarray, ...]:
    """One layer of the parameters of a rule."""
    values = [_finite(source, name.format(n=layer)) for name in rule.theirs]
    return tuple(np.ascontiguousarray(part) for part in rule.pack(*values))


def _finite(source: Source, name: str, begin: int = 0, end: int | None = None) -> np.ndarray:
    values = source.tensors[name].read(begin, end)
    if not np.isfinite(values).all():
        raise DataError(
            f"{source.tensors[name].path}: {name} holds values that are not finite; the file is"
            " damaged, or the model diverged"
        )
    return values


def read_params(source: Source, mesh: Mesh, sharding_rules: ShardingRules | None = None) -> Params:
    """Reads the weights onto a mesh, so that no device holds more than its part, and one layer of
    one parameter for a moment.

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
    for rule, layer in in_order(rules(source.config, source.family), source.config):
        if layer is None:
            (path,) = rule.ours
            arrays[path] = _read_sharded(source, rule, wholes[path])
            continue
        for path, part in zip(rule.ours, _layer(source, rule, layer)):
            spec = flat[path]
            if layer == 0:
                arrays[path] = _zeros(spec.shape, wholes[path])
            one_layer = sharding(spec.axes[1:], path, spec.shape[1:])
            placed = jax.make_array_from_callback(part.shape, one_layer, lambda index: part[index])
            arrays[path] = _set_layer(arrays[path], placed, layer)
            arrays[path].block_until_ready()  # so that no more than one layer waits
    structure = jax.tree.structure(specs)
    return structure.unflatten([arrays[path] for path in flat])


def _read_sharded(source: Source, rule: Rule, sharding) -> jax.Array:
    """Reads what is in no layer: of each shard, its rows alone."""
    (name,) = rule.theirs

    def read(index: tuple[slice, ...]) -> np.ndarray:
        rows, *others = index
        (values,) = rule.pack(_finite(source, name, rows.start or 0, rows.stop))
        return values[(slice(None), *others)]

    return jax.make_array_from_callback(source.tensors[name].shape, sharding, read)


@functools.cache
def _zeros_of(sharding):
    return jax.jit(lambda shape: jnp.zeros(shape), static_argnums=0, out_shardings=sharding)


def _zeros(shape: tuple[int, ...], sharding) -> jax.Array:
    return _zeros_of(sharding)(shape)


@functools.partial(jax.jit, donate_argnums=0)
def _set_layer(stacked: jax.Array, values: jax.Array, layer: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stacked, values, layer, axis=0)


def import_model(
    input_dir: str | Path, model_dir: str | Path, *, allow_bin: bool = False
) -> tuple[Source, int]:
    """Makes a run of a folder of transformers: step 0 of it, and its tokenizer. `hclx generate`
    reads it, `--init_from` begins with it, `hclx convert export` writes it again.

    Args:
      input_dir: the folder.
      model_dir: of the run, missing or an empty folder; it appears whole or not at all.
      allow_bin: reads pickled weights: see hclx/convert/pickles.py.
    Returns:
      What was imported, and the number of its parameters.
    Raises:
      ConfigError: the model is not supported, or `model_dir` is not empty.
      DataError: a file is missing or damaged.
      StorageError, OSError: the run cannot be written.
    """
    input_dir, model_dir = Path(input_dir), Path(model_dir)
    if model_dir.exists() and (not model_dir.is_dir() or any(model_dir.iterdir())):
        raise ConfigError(f"--model_dir={model_dir} exists and is not empty; name another folder")
    source = None if allow_bin else look_at(input_dir)
    if source:
        _tokenizer_of(source)  # what can be refused is refused before anything is written
    with new_folder(model_dir) as folder:
        if allow_bin:
            unpickled = folder / "unpickled"
            unpickled.mkdir()
            convert_pickles(input_dir, unpickled)
            source = look_at(unpickled)
        _write_run(source, input_dir.name, folder, model_dir)
        if allow_bin:
            shutil.rmtree(unpickled)
    return source, n_params(source.config)


def _write_run(source: Source, name: str, folder: Path, model_dir: Path) -> None:
    """Writes the run into a folder that becomes `model_dir`; `name` is for its records."""
    tokenizer_files, tokenizer = _tokenizer_of(source)
    length = min(source.config.max_length, TrainConfig().sequence_length)
    experiment = Experiment(
        model=source.config,
        compute=ComputeConfig(),
        mesh=MeshConfig(),
        optimizer=OptimizerConfig(),
        data=DataConfig(mixture=f"imported from {name}"),
        tokenizer=TokenizerConfig(),
        train=TrainConfig(sequence_length=length),
    )
    own = folder / "tokenizer"
    own.mkdir()
    for path in tokenizer_files:
        shutil.copyfile(path, own / path.name)
    hashes = {"vocabulary": tokenizer.fingerprint, "text": ""}
    claim_folder(folder, describe_run(experiment, str(own), hashes))
    (folder / GIN).write_text(_bindings(source.config, model_dir), encoding="utf-8")
    meta = {"hashes": hashes, "versions": versions(), "init_from": None}
    meta |= {"model": dataclasses.asdict(source.config)}
    save_weights(folder, abstract_params(source.config), parts_of(source), meta)


def _tokenizer_of(source: Source) -> tuple[list[Path], Tokenizer]:
    """The files of the tokenizer of a folder, and the tokenizer, which must fit the model."""
    files = _tokenizer_files(source.folder)
    tokenizer = load_tokenizer(files[0].parent)
    if tokenizer.vocab_size > source.config.vocab_size:
        raise DataError(
            f"{source.folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, and the model"
            f" rows for {source.config.vocab_size:,}"
        )
    return files, tokenizer


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
