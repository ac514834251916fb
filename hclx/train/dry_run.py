"""The dry run: configuration, text, steps and memory of a run that is not started."""

import contextlib
import dataclasses
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax

from hclx.config import DataConfig, Experiment
from hclx.data import TokenCache, prepare
from hclx.data.prepare import check_no_part, untrained
from hclx.data.source import ReadSettings, sources_of
from hclx.data.token_cache import MANIFEST, SPLITS, too_little
from hclx.errors import ConfigError, DataError
from hclx.model import n_params
from hclx.parallel import make_mesh
from hclx.progress import counted, size_in_words
from hclx.text import has_tokenizer
from hclx.train.initial_weights import choose_initial_weights
from hclx.train.preemption import refuse_stop_file
from hclx.train.run import RunOptions
from hclx.train.run_changes import refuse_other_tokenizer, refuse_unasked_changes
from hclx.train.run_data import (
    folders,
    reads,
    remarks,
    remedy,
    with_known_vocabulary,
    with_vocabulary_of,
)
from hclx.train.run_dir import check_configuration
from hclx.train.state import bytes_per_device
from hclx.train.step import Program, make_program

# A text of at most so many bytes is prepared for a dry run as for a run, in a temporary folder.
_PREPARED_BYTES = 1 << 20
_UNNAMED = "MODEL_DIR"  # stands for the folder of a run that is not known
_DOCUMENTS_READ = 100  # of each source of a larger one


def check_before_work(
    experiment: Experiment, model_dir: str | None, options: RunOptions = RunOptions()
) -> dict | None:
    """Refuses what can be refused before any data is prepared.

    Args:
      experiment, options: as in `hclx.train.pretrain.pretrain`.
      model_dir: of the run; None if it is not known.
    Returns:
      The weights that the run begins with, as `choose_initial_weights` does.
    Raises:
      ConfigError, DataError: the folder is that of another run, or the weights do not fit.
    """
    if model_dir:
        refuse_other_tokenizer(model_dir, experiment)
        check_configuration(model_dir, experiment)
        refuse_unasked_changes(model_dir, experiment, options.allow_changes)
    weights = choose_initial_weights(model_dir, options.init_from, experiment.model)
    if model_dir:
        refuse_stop_file(model_dir)
    return weights


def dry_run(
    experiment: Experiment, model_dir: str | None = None, options: RunOptions = RunOptions()
) -> None:
    """Prints a page about a run: a line for each field of the configuration, then parameters,
    devices, text, steps, and the memory that it needs and that there is.

    The training step is compiled for the devices of this machine; nothing is allocated. A small
    text is prepared as for the run; of a larger one, the first documents are read.

    Args:
      experiment, model_dir, options: as in `check_before_work`.
    Raises:
      ConfigError, DataError: what would end the run, too: the text is missing, the mesh does not
        fit the model, or the memory of this machine does not suffice.
      OSError: the text cannot be read.
    """
    requested, experiment = experiment, with_known_vocabulary(experiment, model_dir or _UNNAMED)
    weights = check_before_work(experiment, model_dir, options)
    with _found_text(requested, model_dir or _UNNAMED) as (text, cache):
        lines, experiment = _text_lines(requested, experiment, model_dir or _UNNAMED, text, cache)
    mesh, train = make_mesh(experiment.mesh), experiment.train
    with jax.set_mesh(mesh):
        state, temporary = planned_bytes(make_program(experiment, mesh))
    tokens = train.global_batch_size * train.sequence_length
    began = f"step {weights['step']} of {weights['model_dir']}" if weights else "random weights"
    lines = [
        *_fields(experiment),
        "",
        f"parameters         {n_params(experiment.model):,}",
        f"begins from        {began}",
        *lines,
        f"devices            {mesh.size} x {mesh.devices.flat[0].device_kind}: {dict(mesh.shape)}",
        (
            f"steps              {train.total_steps:,} of {tokens:,} tokens:"
            f" {train.total_steps * tokens:,} tokens"
        ),
        (
            f"memory per device  {size_in_words(state)} of parameters and moments,"
            f" {size_in_words(temporary)} of temporaries as compiled"
        ),
    ]
    print("\n".join(lines), flush=True)
    check_memory(state + temporary)


def check_memory(per_device: int) -> None:
    """Prints the memory that is needed and that there is.

    Args:
      per_device: bytes that a run needs on each device.
    Raises:
      ConfigError: it does not suffice.
    """
    needed, available, where = _memory(per_device)
    print(
        f"memory             {size_in_words(needed)} needed, {size_in_words(available)} in {where}",
        flush=True,
    )
    if needed > available:
        raise ConfigError(
            f"the run does not fit this machine: it needs {size_in_words(needed)} and {where} has"
            f" {size_in_words(available)}; take a smaller model or batch, more"
            " TrainConfig.accumulation_steps, ComputeConfig.remat=full, or more devices"
        )


@contextlib.contextmanager
def _found_text(experiment: Experiment, model_dir: str) -> Iterator[tuple[str, TokenCache | None]]:
    """Finds what the run reads: its token cache if there is one, or else its text.

    Yields:
      Its description, and the cache of the run or, of a small text, one like it, which exists as
      long as the context. None for a larger text.
    """
    data = experiment.data
    tokenizer_dir, cache_dir = folders(experiment, model_dir)
    is_given = has_tokenizer(tokenizer_dir)
    prepared = lambda *folders: prepare(
        data,
        experiment.tokenizer,
        experiment.model.vocab_size,
        *folders,
        remedy=remedy(data, model_dir, cache_dir),
    )
    if (Path(cache_dir) / MANIFEST).is_file():
        # without a tokenizer, `prepare` would train one
        cache = prepared(tokenizer_dir, cache_dir) if is_given else TokenCache(cache_dir)
        yield f"token cache {cache_dir}", cache
        return
    check_no_part(cache_dir)
    text, n_bytes = _find_files(data)
    if n_bytes <= _PREPARED_BYTES:
        with tempfile.TemporaryDirectory(prefix="hclx-dry-run-") as folder:
            tokenizer_dir = tokenizer_dir if is_given else f"{folder}/tokenizer"
            yield text, prepared(tokenizer_dir, f"{folder}/cache")
        return
    for source in sources_of(data):
        for _ in itertools.islice(
            source.documents("train", ReadSettings.of(data)), _DOCUMENTS_READ
        ):
            pass  # a record that cannot be read is an error
    yield text, None


def _text_lines(
    requested: Experiment,
    experiment: Experiment,
    model_dir: str,
    text: str,
    cache: TokenCache | None,
) -> tuple[list[str], Experiment]:
    """Returns lines about the text, and the experiment with the vocabulary that follows from it."""
    tokenizer_dir, _ = folders(experiment, model_dir)
    exists = has_tokenizer(tokenizer_dir)
    lines = [
        f"text               {text}",
        f"tokenizer          {'as it is' if exists else 'is trained'} in {tokenizer_dir}",
    ]
    if requested.data.tokenizer_dir and not exists:
        lines.append(f"warning: {untrained(tokenizer_dir)}")
    if cache is None:
        return lines, experiment
    experiment, train = with_vocabulary_of(cache, experiment), experiment.train
    cache.n_sequences("train", train.sequence_length)  # raises if there is none
    tokens = {split: cache.n_tokens(split) for split in SPLITS}
    lines.append(
        f"tokens             {tokens['train']:,} to train on, {tokens['validation']:,} held out;"
        f" the run reads {reads(train, cache)}"
    )
    held_out = cache.too_short("validation", train.sequence_length)
    if train.eval_every and len(held_out) == len(cache.rates):
        lines.append(
            f"no validation loss is computed, as a sequence needs {train.sequence_length + 1:,}"
            f" tokens; {too_little(cache, 'validation', train.sequence_length)}"
        )
    return lines + remarks(requested, experiment, cache), experiment


def _find_files(data: DataConfig) -> tuple[str, int]:
    """Returns the files that the run reads, in words, and their bytes."""
    paths = [path for source in sources_of(data) for path in source.files()]
    for path in paths:
        try:
            with open(path, "rb"):
                pass
        except FileNotFoundError as error:
            raise DataError(f"{path} does not exist; give text that does") from error
    size = sum(map(os.path.getsize, paths))
    return f"{counted(len(paths), 'file')}, {size_in_words(size)}", size


def planned_bytes(program: Program) -> tuple[int, int]:
    """Returns the bytes that a device holds of a state, and those of temporaries of a step as
    compiled. Nothing is allocated; the mesh of the program is the ambient one.
    """
    lowered = program.train_step.lower(program.abstract_state, program.abstract_batch)
    memory = lowered.compile().memory_analysis()
    return bytes_per_device(program.abstract_state), memory.temp_size_in_bytes


def _memory(per_device: int) -> tuple[int, int, str]:
    """Returns the bytes that are needed, those that there are, and where: in a device with memory
    of its own, or else in the machine that all its devices share.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        available = (device.memory_stats() or {}).get("bytes_limit")
        return per_device, available or per_device, f"each {device.device_kind}"
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return per_device * jax.local_device_count(), available, "this machine"


def _fields(experiment: Experiment) -> list[str]:
    sections = {
        field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)
    }
    return [
        f"{type(section).__name__}.{name} = {value!r}"
        for section in sections.values()
        for name, value in dataclasses.asdict(section).items()
    ]
