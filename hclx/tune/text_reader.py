"""Embeds texts and judges pairs with a tuned model: many texts at once, in few shapes."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError, DataError
from hclx.model import Params, ParamSpec
from hclx.model_config import ModelConfig
from hclx.prompts.template import parse_template
from hclx.text import Tokenizer, load_tokenizer
from hclx.train.checkpoint import Checkpointer
from hclx.train.initial_weights import find_checkpoint
from hclx.train.run_dir import read_config, read_run
from hclx.tune.artefact import base_fingerprint, check_artefact, read_artefact
from hclx.tune.text_groups import Group, Layout, pack_groups
from hclx.tune.text_rows import pair_text, text_encoder
from hclx.tune.text_vectors import make_text_outputs, unit
from hclx.tune.trainable import frozen_specs, trainable_specs
from hclx.tune.tune_config import TuneConfig

_SHORTEST = 16  # tokens of a row; longer rows have twice as many, and twice again
_ONE_TEXT = Layout(1, 1)  # in a row


@dataclasses.dataclass(frozen=True)
class TextReader:
    """A model that reads whole texts.

    Attributes:
      params: the merged parameters, float32.
      model: the base's shape.
      config: the method, the objective and the pooling.
      tokenizer: of the base.
      compute: how it is computed.
      call_tokens: about so many tokens, padding included, are computed at once.
    """

    params: Params
    model: ModelConfig
    config: TuneConfig
    tokenizer: Tokenizer
    compute: ComputeConfig = ComputeConfig(dtype="float32", attention="xla")
    call_tokens: int = 4096


def load_reader(
    model_dir: str, artefact: str | Path = "", untuned: TuneConfig | None = None
) -> TextReader:
    """Loads a model that was tuned for vectors or pairs.

    Args:
      model_dir: MODEL_DIR[:STEP] of a run that was tuned in full; or of the base of an artefact.
      artefact: its file.
      untuned: the pooling for a base without an artefact; None: such a base is refused.
    Raises:
      ConfigError: the model was tuned for something else, or not at all.
      CheckpointError, DataError: a file is missing or damaged, or the artefact is of another base.
    """
    folder, step = find_checkpoint(model_dir)
    experiment, tokenizer_dir = read_run(folder)
    tokenizer, model = load_tokenizer(tokenizer_dir), experiment.model
    tuned = (read_config(folder) or {}).get("tune")
    if artefact:
        read = read_artefact(artefact)
        _check_objective(read.config, artefact)
        params, base = _read(folder, step, frozen_specs(model, read.config))
        check_artefact(read, base, tokenizer.fingerprint, artefact)
        return TextReader({**params, "tune": read.tune}, model, read.config, tokenizer)
    config = TuneConfig(**tuned) if tuned else untuned
    if config is None:
        raise ConfigError(f"{folder} is not tuned for vectors or pairs; give the artefact, too")
    if config.kind != "finetune":
        raise ConfigError(f"{folder} is a run of {config.kind}; give its base, and its artefact")
    _check_objective(config, folder)
    params, _ = _read(folder, step, trainable_specs(model, config))
    return TextReader(params, model, config, tokenizer)


def embed_texts(reader: TextReader, texts: Sequence[str], size: int = 0) -> np.ndarray:
    """Embeds texts.

    Args:
      reader: see `load_reader`; not a judge of pairs.
      texts: none of them empty.
      size: the first entries alone, for a model that was tuned with `TuneConfig.sizes`; 0: all.
    Returns:
      float32 [n, d], of length 1.
    Raises:
      ConfigError: the reader judges pairs, or the size is none.
      DataError: a text is empty, or longer than the model reads.
    """
    if reader.config.objective == "pair":
        raise ConfigError("the model judges pairs (TuneConfig.objective='pair') and has no vectors")
    d = reader.model.d_model
    if not 0 <= size <= d:
        raise ConfigError(f"size={size} is none of a vector of {d} entries")
    vectors_nd = np.zeros((len(texts), d), np.float32)
    for at, outputs in _outputs(reader, texts):
        vectors_nd[at] = outputs[:, 0, 0]
    return np.array(unit(vectors_nd[:, : size or d]))


def judge_pairs(reader: TextReader, pairs: Sequence[dict[str, str]]) -> np.ndarray:
    """Judges pairs of texts.

    Args:
      reader: see `load_reader`; a judge of pairs.
      pairs: the fields of `TuneConfig.template`: {"text_a": ..., "text_b": ...}.
    Returns:
      float32 [n, labels], probabilities in the order of `TuneConfig.labels`; or [n], scores.
    Raises:
      ConfigError: the reader has vectors.
      DataError: a field is missing or empty, or a pair is longer than the model reads.
    """
    config = reader.config
    if config.objective != "pair":
        raise ConfigError(f"TuneConfig.objective={config.objective!r} has vectors; it judges none")
    template = parse_template(config.template)
    texts = [pair_text(template, pair, f"pair {n}") for n, pair in enumerate(pairs)]
    logits_nc = np.zeros((len(texts), len(config.label_names) or 1), np.float32)
    for at, outputs in _outputs(reader, texts):
        logits_nc[at] = outputs[:, 0]
    if config.label_names:
        return np.array(jax.nn.softmax(logits_nc))
    return config.score_max * np.array(jax.nn.sigmoid(logits_nc[:, 0]))


def _outputs(reader: TextReader, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields numbers of texts and their outputs, the shortest texts first."""
    encode = text_encoder(reader.tokenizer, reader.model.vocab_size, reader.config)
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"text {number} is empty, or no text")
    tokens = [encode(text) for text in texts]
    prefix = reader.config.length if reader.config.kind == "prefix_tune" else 0
    most = reader.model.max_length - prefix
    longest = max(range(len(tokens)), key=lambda n: len(tokens[n]), default=None)
    if longest is not None and len(tokens[longest]) > most:
        raise DataError(
            f"text {longest} has {len(tokens[longest])} tokens, and the model reads {most}; give"
            " parts of it"
        )
    by_length: dict[int, list[int]] = {}
    for number in sorted(range(len(tokens)), key=lambda n: len(tokens[n])):
        by_length.setdefault(min(most, _row_length(len(tokens[number]))), []).append(number)
    for length, numbers in by_length.items():
        rows = max(1, reader.call_tokens // length)
        for begin in range(0, len(numbers), rows):
            at = numbers[begin : begin + rows]
            # The last rows of a call may be missing: they repeat one, so that the shape is known.
            groups = [Group((tokens[n],), (0,)) for n in at + at[-1:] * (rows - len(at))]
            batch = _one_a_row(groups, length, reader.tokenizer.eod_id)
            settings = reader.model, reader.compute, reader.config
            yield at, np.asarray(_run(reader.params, batch, *settings))[: len(at)]


def _row_length(n: int) -> int:
    """The tokens of a row for a text of n: 16, 24, 32, 48, 64, 96 and so on."""
    power = max(_SHORTEST, 1 << (n - 1).bit_length())
    return 3 * power // 4 if _SHORTEST < power and n <= 3 * power // 4 else power


def _one_a_row(groups: Sequence[Group], length: int, pad_id: int) -> Batch:
    rows = [pack_groups([group], length, _ONE_TEXT, pad_id) for group in groups]
    return Batch(*map(np.concatenate, zip(*rows)))


@functools.partial(jax.jit, static_argnames=("model", "compute", "config"))
def _run(params, batch, model, compute, config):
    return make_text_outputs(model, compute, config, _ONE_TEXT)(params, batch)


def _check_objective(config: TuneConfig, where: str | Path) -> None:
    if config.writes_text:
        raise ConfigError(
            f"{where} was tuned with TuneConfig.objective={config.objective!r}, to write text;"
            " give a model that was tuned for vectors or pairs"
        )


def _read(folder: str, step: int, specs: Params) -> tuple[Params, str]:
    """The verified parameters of a checkpoint on the first device, and their fingerprint."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    place = lambda spec: jax.ShapeDtypeStruct(spec.shape, "float32", sharding=sharding)
    is_spec = lambda node: isinstance(node, ParamSpec)
    abstract = jax.tree.map(place, specs, is_leaf=is_spec)
    with Checkpointer(folder, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, step)
    return params, base_fingerprint(meta["fingerprint"])
