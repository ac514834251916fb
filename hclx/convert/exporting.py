"""Writes a model as a folder of the transformers library.

config.json             the shape, in the old spellings and the new ones
generation_config.json  where a text ends; of an imported model, the file that came with it
model*.safetensors      the weights, with an index if there are several files
tokenizer.json, tokenizer_config.json
                        both: without the second, transformers builds the tokenizer of the
                        model's class, which gives other ids; for Qwen2 also a module of Python,
                        without which it does so all the same
README.md               where the model comes from
hclx_tokenizer/         our own tokenizer, which the import of this folder takes again
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import Experiment, MeshConfig, ModelConfig
from hclx.convert.config_json_writer import write_model_config
from hclx.convert.importing import CONFIG, OWN_TOKENIZER
from hclx.convert.safetensors_files import Writer
from hclx.convert.tensors import Rule, rules
from hclx.errors import ConfigError
from hclx.model import Params, n_params, param_specs
from hclx.parallel import make_mesh, named_sharding
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.foreign_tokenizer import COMPANIONS, ForeignTokenizer
from hclx.text.foreign_tokenizer import CONFIG as CONFIG_OF_TOKENIZER
from hclx.text.new_folder import new_folder
from hclx.text.tokenizer import METADATA_FILE, MODEL_FILE
from hclx.train.checkpoint import Checkpointer
from hclx.train.run_dir import read_run

# transformers' AutoTokenizer builds the tokenizer of Qwen2's class, which splits text its own way,
# for every folder of that family, unless tokenizer_config.json names a class that is in the folder.
# Then it reads tokenizer.json as it is, or with trust_remote_code builds this class, which does so.
_AS_IN_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
_CLASS_MODULE = "tokenization_as_in_file"
_CLASS = """from transformers import PreTrainedTokenizerFast


class TokenizerAsInFile(PreTrainedTokenizerFast):
    pass
"""
GENERATION = "generation_config.json"
SHARD_BYTES = 5_000_000_000  # of the weights, in a file


class Exported(NamedTuple):
    """The result of an export: the family, the number of parameters, and the step."""

    family: str
    n_params: int
    step: int


def export_model(
    model_dir: str | Path,
    output_dir: str | Path,
    *,
    step: int | None = None,
    family: str = "",
    dtype: str = "float32",
) -> Exported:
    """Writes a checkpoint of a run as a folder of transformers, which appears whole or not at all.

    Args:
      model_dir: the folder of the run.
      output_dir: missing, or an empty folder.
      step: of the checkpoint; default: the newest.
      family: see `write_model_config`.
      dtype: of the weights, "float32", "bfloat16" or "float16".
    Raises:
      ConfigError: the model or its tokenizer has no counterpart in transformers.
      CheckpointError: the checkpoint is missing or damaged.
      OSError: the folder cannot be written.
    """
    output_dir = Path(output_dir)
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise ConfigError(f"--output_dir={output_dir} exists and is not empty; name another folder")
    experiment, tokenizer_dir = read_run(model_dir)
    content = write_model_config(experiment.model, family, dtype)
    tokenizer = load_tokenizer(tokenizer_dir)
    if tokenizer.splits_text:
        raise ConfigError(
            f"the tokenizer in {tokenizer_dir} splits text at morphemes before it is encoded"
            " (morphemes: merges_and_text), which no other tool does: its ids would differ, so that"
            " the model cannot be exported"
        )
    params, meta = _read(Path(model_dir), experiment.model, step)
    content |= {"bos_token_id": tokenizer.begin_ids[0] if tokenizer.begin_ids else None}
    content |= {"eos_token_id": tokenizer.eod_id, "pad_token_id": tokenizer.pad_id}
    model_rules = rules(experiment.model, content["model_type"])
    with new_folder(output_dir) as folder:
        _write_json(folder / CONFIG, content)
        _write_tokenizer(Path(tokenizer_dir), tokenizer, folder)
        if not (folder / GENERATION).exists():  # that of an imported model may name more ends
            ends = ("bos_token_id", "eos_token_id", "pad_token_id")
            _write_json(folder / GENERATION, {name: content[name] for name in ends})
        if content["model_type"] == "qwen2":
            _keep_class(folder)
        _write_weights(folder, params, experiment.model, model_rules, dtype)
        card = model_card(experiment, meta, content["model_type"])
        (folder / "README.md").write_text(card, encoding="utf-8")
    return Exported(content["model_type"], n_params(experiment.model), meta["step"])


def _read(model_dir: Path, config: ModelConfig, step: int | None) -> tuple[Params, dict]:
    mesh = make_mesh(MeshConfig(fsdp=1), jax.devices()[:1])
    abstract = jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct(
            spec.shape, "float32", sharding=named_sharding(mesh, spec.axes)
        ),
        param_specs(config),
    )
    with Checkpointer(model_dir, read_only=True) as checkpointer:
        return checkpointer.restore_params(abstract, step)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tokenizer(source: Path, tokenizer: Tokenizer, folder: Path) -> None:
    if isinstance(tokenizer, ForeignTokenizer):
        for name in COMPANIONS:
            if (source / name).is_file() and not (folder / name).exists():
                shutil.copyfile(source / name, folder / name)
        if not (folder / CONFIG_OF_TOKENIZER).exists():
            _write_json(folder / CONFIG_OF_TOKENIZER, tokenizer.transformers_config())
        return
    from hclx.text.export import write_exports

    # a server has to put the same token before a prompt as training put before a document
    write_exports(tokenizer, folder, begins=True)
    own = folder / OWN_TOKENIZER
    own.mkdir()
    for name in (METADATA_FILE, MODEL_FILE):
        shutil.copyfile(source / name, own / name)


def _keep_class(folder: Path) -> None:
    """Makes AutoTokenizer read tokenizer.json as it is: see `_CLASS_MODULE`."""
    config = json.loads((folder / CONFIG_OF_TOKENIZER).read_text(encoding="utf-8"))
    if config.get("tokenizer_class") not in _AS_IN_FILE or "auto_map" in config:
        return  # the tokenizer of Qwen2 itself, or one that comes with a class already
    config["auto_map"] = {"AutoTokenizer": [None, f"{_CLASS_MODULE}.TokenizerAsInFile"]}
    _write_json(folder / CONFIG_OF_TOKENIZER, config)
    (folder / f"{_CLASS_MODULE}.py").write_text(_CLASS, encoding="utf-8")


def _write_weights(
    folder: Path, params: Params, config: ModelConfig, model_rules: list[Rule], dtype: str
) -> None:
    shapes = {
        name.format(n=layer): shape
        for rule, layer in _in_order(model_rules, config)
        for name, shape in zip(rule.theirs, rule.shapes)
    }
    flat = {
        jax.tree_util.keystr(path, simple=True, separator="/"): array
        for path, array in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    writer = Writer(folder, shapes, dtype, SHARD_BYTES)
    for rule, layer in _in_order(model_rules, config):
        arrays = (flat[path] if layer is None else flat[path][layer] for path in rule.ours)
        for name, values in zip(rule.theirs, rule.unpack(*map(np.asarray, arrays))):
            writer.write(name.format(n=layer), values)
    writer.close()


def _in_order(model_rules: list[Rule], config: ModelConfig) -> Iterator[tuple[Rule, int | None]]:
    """Yields each rule with each of its layers, layer by layer; None for what is in none."""
    in_layers = [rule for rule in model_rules if "{n}" in rule.theirs[0]]
    yield from ((rule, None) for rule in model_rules if rule not in in_layers)
    for layer in range(config.n_layers):
        yield from ((rule, layer) for rule in in_layers)


def model_card(experiment: Experiment, meta: dict, family: str) -> str:
    """Returns the text of README.md: the shape, the training and its configuration.

    Args:
      experiment: of the run.
      meta: of the checkpoint.
      family: of the exported model.
    """
    model, train, data = experiment.model, experiment.train, experiment.data
    text = data.mixture or data.corpus or data.input
    sections = {"model": model, "optimizer": experiment.optimizer, "train": train}
    lines = [
        f"{name}.{field} = {value!r}"
        for name, section in sections.items()
        for field, value in vars(section).items()
    ]
    begun = meta.get("init_from")
    return "\n".join(
        [
            "---",
            "language: ko",
            "library_name: transformers",
            "---",
            f"# A {family} model of {n_params(model):,} parameters",
            "",
            f"Step {meta['step']:,} of a run of hclx on {text!r}"
            + (f", which began with the weights of {begun['model_dir']}." if begun else "."),
            f"It reads {model.max_length:,} tokens, of a vocabulary of {model.vocab_size:,}.",
            "",
            "```",
            *lines,
            "```",
            "",
        ]
    )
