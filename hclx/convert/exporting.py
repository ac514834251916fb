"""Writes a model as a folder of the transformers library.

config.json             the shape, in the old spellings and the new ones
generation_config.json  where a text ends; of an imported model, what came with it too
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
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hclx.config import Experiment, ModelConfig
from hclx.convert.config_json_writer import write_model_config
from hclx.convert.importing import CONFIG, OWN_TOKENIZER
from hclx.convert.safetensors_files import Writer
from hclx.convert.tensors import Rule, in_order, rules
from hclx.errors import ConfigError
from hclx.model import abstract_params, n_params
from hclx.progress import ProgressBar
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.foreign_tokenizer import COMPANIONS, ForeignTokenizer
from hclx.text.foreign_tokenizer import CONFIG as CONFIG_OF_TOKENIZER
from hclx.text.new_folder import new_folder
from hclx.text.tokenizer import METADATA_FILE, MODEL_FILE
from hclx.train.checkpoint import Checkpointer
from hclx.train.row_ranges import row_ranges
from hclx.train.whole_model import read_whole_model

# transformers' AutoTokenizer builds the tokenizer of Qwen2's class, which splits text its own way,
# for every folder of that family, unless tokenizer_config.json names a class that is in the folder.
# Then it reads tokenizer.json as it is, or with trust_remote_code builds this class, which does so.
_AS_IN_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
_CLASS_MODULE = "tokenization_as_in_file"
_CLASS = """from transformers import PreTrainedTokenizerFast


class TokenizerAsInFile(PreTrainedTokenizerFast):
    pass
"""
# Families of which transformers 5 refuses configurations whose heads do not divide the size, which
# its layers could compute.
_DIVIDED = ("llama", "exaone", "hyperclovax", "gemma3_text")
SHARD_BYTES = 5_000_000_000  # of the weights, in a file


class Exported(NamedTuple):
    """The result of an export: the family, the number of parameters, the step, and what its user
    should know, "" for nothing.
    """

    family: str
    n_params: int
    step: int
    note: str


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
    experiment, tokenizer_dir = read_whole_model(model_dir)
    content = write_model_config(experiment.model, family, dtype)
    tokenizer = load_tokenizer(tokenizer_dir)
    if tokenizer.splits_text:
        raise ConfigError(
            f"the tokenizer in {tokenizer_dir} splits text at morphemes before it is encoded"
            " (morphemes: merges_and_text), which no other tool does: its ids would differ, so that"
            " the model cannot be exported"
        )
    content |= {"bos_token_id": tokenizer.begin_ids[0] if tokenizer.begin_ids else None}
    content |= {"eos_token_id": tokenizer.eod_id, "pad_token_id": tokenizer.pad_id}
    model_rules = rules(experiment.model, content["model_type"])
    with Checkpointer(model_dir, read_only=True) as checkpointer, new_folder(output_dir) as folder:
        _write_json(folder / CONFIG, content)
        ends = ("bos_token_id", "eos_token_id", "pad_token_id")
        generation = {name: content[name] for name in ends}
        if isinstance(tokenizer, ForeignTokenizer):  # chat models end at several tokens
            own = tokenizer.generation_config
            generation |= {name: value for name, value in own.items() if value is not None}
        _write_json(folder / "generation_config.json", generation)
        _write_tokenizer(Path(tokenizer_dir), tokenizer, folder)
        if content["model_type"] == "qwen2":
            _keep_class(folder)
        weights = _Weights(folder, experiment.model, model_rules, dtype)
        _, meta = checkpointer.restore_params(
            abstract_params(experiment.model), step, take=weights.take
        )
        weights.close()
        card = model_card(experiment, meta, content["model_type"])
        (folder / "README.md").write_text(card, encoding="utf-8")
    note = _note(content["model_type"], experiment.model)
    return Exported(content["model_type"], n_params(experiment.model), meta["step"], note)


def _note(family: str, model: ModelConfig) -> str:
    if family in _DIVIDED and model.d_model % model.n_heads:
        return (
            f"transformers 5 refuses a {family} of hidden_size={model.d_model} with"
            f" {model.n_heads} heads, whatever head_dim says; transformers 4 and others read it"
        )
    return ""


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


class _Weights:
    """The weights of a folder, which are written as their parameters come, in any order."""

    def __init__(self, folder: Path, config: ModelConfig, model_rules: list[Rule], dtype: str):
        self._rules = {path: rule for rule in model_rules for path in rule.ours}
        shapes = {
            name.format(n=layer): shape
            for rule, layer in in_order(model_rules, config)
            for name, shape in zip(rule.theirs, rule.shapes)
        }
        self._writer = Writer(folder, shapes, dtype, SHARD_BYTES)
        self._progress = ProgressBar(n_params(config), "export", "parameter")
        self._held: dict[str, np.ndarray] = {}

    def take(self, path: str, array: np.ndarray) -> None:
        """Writes the tensors of a parameter as soon as those that they share are here too."""
        self._held[path] = array
        rule = self._rules[path]
        if not self._held.keys() >= set(rule.ours):
            return
        arrays = [self._held.pop(path) for path in rule.ours]
        if "{n}" in rule.theirs[0]:
            for layer, parts in enumerate(zip(*arrays)):
                for name, values in zip(rule.theirs, rule.unpack(*parts)):
                    self._writer.write(name.format(n=layer), values)
                self._progress.update(sum(part.size for part in parts))
        else:
            (name,), (array,) = rule.theirs, arrays
            for begin, end in row_ranges(array.shape):
                (values,) = rule.unpack(array[begin:end])
                self._writer.write(name, values, begin)
                self._progress.update(values.size)

    def close(self) -> None:
        """Ends the files when all parameters were taken."""
        with self._progress:
            self._writer.close()


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
