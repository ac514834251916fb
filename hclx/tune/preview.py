"""The dry run of tuning: what would be learnt from what, and the memory that it takes."""

import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.parallel import make_mesh
from hclx.progress import counted, size_in_words
from hclx.text import Tokenizer, load_tokenizer
from hclx.train.dry_run import check_memory, planned_bytes
from hclx.train.run import RunOptions
from hclx.tune.packing import ChoiceBatch
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningData, TuningText
from hclx.tune.tuning_run import check_run, summary, tuning_parts

Decode = Callable[[np.ndarray], str]

_SHOWN = 3  # examples
_MARKS = "⟦{}⟧"  # around what is learnt


def preview(
    experiment: Experiment,
    config: TuneConfig,
    text: TuningText,
    model_dir: str | None,
    options: RunOptions,
    mesh: Mesh | None = None,
) -> None:
    """Prints a page about a run that is not started: what is trained, how many examples and tokens
    there are, the first of them with the loss marked, and the memory.

    All rows are read and encoded, and the step is compiled; nothing is trained or allocated.

    Args:
      experiment, config, text, options, mesh: as in `hclx.tune.tuning_run.tune`.
      model_dir: of the run; None if it is not known.
    Raises:
      ConfigError, DataError and others: what would end the run, too.
    """
    check_run(experiment, config, model_dir, options)
    mesh = mesh or make_mesh(experiment.mesh)
    parts, data = tuning_parts(experiment, config, text, mesh)
    tokenizer = load_tokenizer(experiment.data.tokenizer_dir)
    decode = decoder(tokenizer, experiment.model.vocab_size)
    print(summary(experiment, config, data, options.init_from), tokens_in_words(data), sep="\n")
    for number, shown in enumerate(rendered_examples(data, decode), 1):
        print(f"example {number}: {shown}")
    with jax.set_mesh(mesh):
        state, temporary = planned_bytes(parts.make_program(()))
    print(
        f"memory per device  {size_in_words(state)} of parameters and moments, the base among them,"
        f" {size_in_words(temporary)} of temporaries as compiled"
    )
    check_memory(state + temporary)


def tokens_in_words(data: TuningData) -> str:
    """Returns a line about the tokens that are learnt from."""
    if data.layout:
        used = int((data.train.segments_bt < data.layout.segments).sum())
        return f"tokens: {used:,} in {counted(data.n_train, 'group')} of texts"
    sizes = [len(tokens) for tokens, *_ in _segments(data.train)]
    learnt = int((data.train.weights_bt > 0).sum())
    return (
        f"tokens: {sum(sizes):,} in {counted(len(sizes), 'sequence')}, the longest {max(sizes):,};"
        f" {learnt:,} are learnt"
    )


def decoder(tokenizer: Tokenizer, vocab_size: int) -> Decode:
    """Returns the function from tokens to their text, in which soft slots, the ids from
    `vocab_size` on, are ⟨0⟩, ⟨1⟩ and so on.
    """

    def decode(tokens: np.ndarray) -> str:
        return "".join(
            "".join(f"⟨{token - vocab_size}⟩" for token in part)
            if slots.any()
            else tokenizer.decode_bytes(part.tolist()).decode("utf-8", "replace")
            for part, slots in _stretches(tokens, tokens >= vocab_size)
        )

    return decode


def rendered_examples(data: TuningData, decode: Decode, n: int = _SHOWN) -> Iterator[str]:
    """Yields the first examples as texts. What is learnt is in brackets ⟦ ⟧. Of choices, the right
    one is followed by what it is compared with. Of vectors and pairs, these are the texts that
    belong together, each in brackets.

    Args:
      data: of the run.
      decode: see `decoder`.
      n: how many.
    """
    if data.layout:
        yield from itertools.islice(_rendered_groups(data, decode), n)
        return
    of_question: dict[tuple[int, int], list[tuple[bool, str, str]]] = {}
    for tokens, weights, row, segment in _segments(data.train):
        answer, is_choice = segment, isinstance(data.train, ChoiceBatch)
        if is_choice:
            inside = data.train.segments_bt[row] == segment
            answer = int(data.train.answers_bt[row][inside][0])
        if (row, answer) not in of_question and len(of_question) == n:
            break
        whole, learnt = _with_marks(tokens, weights > 0, decode), decode(tokens[weights > 0])
        of_question.setdefault((row, answer), []).append((segment == answer, whole, learnt))
    for options in of_question.values():
        (right,) = (whole for is_right, whole, _ in options if is_right)
        others = [_MARKS.format(learnt) for is_right, _, learnt in options if not is_right]
        yield right + (f", and not {', '.join(others)}" if others else "")


def _rendered_groups(data: TuningData, decode: Decode) -> Iterator[str]:
    """Yields the texts of each group, as its loss compares them."""
    rows, layout = data.train, data.layout
    for row, segments_t in enumerate(rows.segments_bt):
        groups_t = segments_t // layout.texts
        for group in range(int(groups_t[segments_t < layout.segments].max()) + 1):
            segments = np.unique(segments_t[groups_t == group])
            texts = (rows.tokens_bt[row][segments_t == segment] for segment in segments)
            yield ", ".join(_MARKS.format(decode(tokens)) for tokens in texts)


def _segments(rows) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
    """Yields tokens, their weights as targets, row and segment of each sequence that is learnt."""
    for row, segments_t in enumerate(rows.segments_bt):
        for segment in np.unique(segments_t):
            (index,) = np.nonzero(segments_t == segment)
            weights = rows.weights_bt[row][index]
            if weights.any():
                tokens = np.append(rows.tokens_bt[row][index], rows.targets_bt[row][index[-1]])
                yield tokens, np.append(np.float32(0), weights), row, int(segment)


def _with_marks(tokens: np.ndarray, is_learnt: np.ndarray, decode: Decode) -> str:
    """The text of tokens, in which each stretch that is learnt is marked."""
    return "".join(
        _MARKS.format(decode(part)) if marks[0] else decode(part)
        for part, marks in _stretches(tokens, is_learnt)
    )


def _stretches(tokens: np.ndarray, flags: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The longest stretches of tokens whose flags are equal, with these."""
    borders = np.flatnonzero(np.diff(flags)) + 1
    return list(zip(np.split(tokens, borders), np.split(flags, borders)))
