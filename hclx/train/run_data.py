"""The text of a run: its tokenizer and its token cache, and the size of the vocabulary, which
follows from them.
"""

import dataclasses
from pathlib import Path

from hclx.config import DataConfig, Experiment, TrainConfig
from hclx.data import TokenCache, prepare
from hclx.data.prepare import vocabulary_size
from hclx.parallel import process_0_first
from hclx.progress import counted
from hclx.text.tokenizer import FOREIGN_MODE
from hclx.train.run_dir import has_begun


def folders(experiment: Experiment, model_dir: str) -> tuple[str, str]:
    """Returns the folders of the tokenizer and of the token cache: those of the configuration, or
    else those in the folder of the run.
    """
    data = experiment.data
    tokenizer_dir = data.tokenizer_dir or str(Path(model_dir) / "tokenizer")
    return tokenizer_dir, data.cache_dir or str(Path(model_dir) / "cache")


def with_known_vocabulary(experiment: Experiment, model_dir: str) -> Experiment:
    """Returns the experiment with the size of the vocabulary, as far as it is known before the data
    is prepared: see `vocabulary_size`.
    """
    tokenizer_dir, _ = folders(experiment, model_dir)
    return with_vocabulary(
        experiment, vocabulary_size(experiment.data, experiment.model.vocab_size, tokenizer_dir)
    )


def with_vocabulary_of(cache: TokenCache, experiment: Experiment) -> Experiment:
    """Returns the experiment with a model of as many tokens as the cache has. A model of a foreign
    tokenizer may have more: its embedding is often rounded up.
    """
    size, mode = cache.manifest["vocab_size"], cache.manifest["tokenizer"]["mode"]
    return with_vocabulary(
        experiment, max(size, experiment.model.vocab_size) if mode == FOREIGN_MODE else size
    )


def with_vocabulary(experiment: Experiment, vocab_size: int) -> Experiment:
    """Returns the experiment with a model of `vocab_size` tokens."""
    model = dataclasses.replace(experiment.model, vocab_size=vocab_size)
    return dataclasses.replace(experiment, model=model)


def prepare_data(experiment: Experiment, model_dir: str) -> tuple[Experiment, TokenCache, str]:
    """Makes the tokenizer and the token cache of a run, in process 0, if they are missing.

    Args:
      experiment: as it was asked for.
      model_dir: of the run.
    Returns:
      The experiment, with the vocabulary of the cache; the cache; and the folder of the tokenizer.
    Raises:
      ConfigError, DataError, StorageError: as `hclx.data.prepare`.
    """
    tokenizer_dir, cache_dir = folders(experiment, model_dir)
    vocab_size = experiment.model.vocab_size
    arguments = experiment.data, experiment.tokenizer, vocab_size, tokenizer_dir, cache_dir
    advice = remedy(experiment.data, model_dir, cache_dir)
    cache = process_0_first("data", lambda: prepare(*arguments, remedy=advice))
    return with_vocabulary_of(cache, experiment), cache, tokenizer_dir


def remedy(data: DataConfig, model_dir: str, cache_dir: str) -> str:
    """Returns what to do where the token cache of a run is one of another text."""
    if has_begun(model_dir):
        return (
            f"the run in {model_dir} has begun and cannot go on with another text: give the text"
            " that it began with, without what was added, or begin another --model_dir"
        )
    if data.corpus and Path(cache_dir).absolute().parent == Path(data.corpus).absolute():
        return "run `hclx build_corpus` with --tokenizer_dir again, which remakes it"
    return f"`rm -r {cache_dir}` lets the run make it again, or name another cache_dir"


def remarks(requested: Experiment, experiment: Experiment, cache: TokenCache) -> list[str]:
    """Returns a line for everything in which the run is not what was asked for.

    Args:
      requested: the configuration.
      experiment: that of the run, with the vocabulary of its tokenizer.
      cache: of the run.
    """
    lines, train = [], experiment.train
    asked, vocab_size = requested.model.vocab_size, experiment.model.vocab_size
    if vocab_size != asked:
        lines.append(
            f"vocabulary: {vocab_size:,} tokens, as the tokenizer has, and not the {asked:,} of"
            " ModelConfig.vocab_size"
        )
    is_evaluated = train.eval_every and _has_sequences(cache, "validation", train.sequence_length)
    for split in ("train", "validation")[: 2 if is_evaluated else 1]:
        if short := cache.too_short(split, train.sequence_length):
            listed = ", ".join(f"{name} ({counted(n, 'token')})" for name, n in short.items())
            work = "training" if split == "train" else "validation"
            lines.append(
                f"left out of {work}, as a sequence needs {train.sequence_length + 1:,} tokens of"
                f" one source: {listed}"
            )
    return lines


def reads(train: TrainConfig, cache: TokenCache) -> str:
    """Returns how often a run reads its text: "12% of the text", "the text 3.1 times"."""
    n_tokens = cache.n_tokens("train")
    times = train.total_steps * train.global_batch_size * train.sequence_length / n_tokens
    return f"{100 * times:.0f}% of the text" if times < 1 else f"the text {times:,.1f} times"


def _has_sequences(cache: TokenCache, split: str, length: int) -> bool:
    return len(cache.too_short(split, length)) < len(cache.rates)
