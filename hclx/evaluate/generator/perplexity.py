"""Bits per byte and per character of texts, and perplexities: how well a model predicts documents.

Bits per byte and per character count all tokens of a document and divide by what no tokenizer
changes, so that models with different tokenizers compare; perplexity per token does not. A document
is read after the tokens that begin one, or, where the tokenizer has none, after the one that ends
one: its first token has a probability, too. The end of the document is not scored.

A document that is longer than the model reads is read in windows. Each token is scored once. In
every window but the first, the tokens that are scored follow at least `max_length - stride` others
(and at least one); a stride of `max_length` gives disjoint windows as `loglikelihood_rolling` of
lm-evaluation-harness has them, whose windows are one token longer.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from hclx.errors import ConfigError, DataError
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.statistics import percentile_interval
from hclx.infer import Engine, ScoreRequest
from hclx.infer.engine import RequestError
from hclx.text.records import Document
from hclx.text.tokenizer import to_bytes

SCHEMA = "hclx.perplexity/1"
FIGURES = (
    "bits_per_byte",
    "bits_per_character",
    "perplexity_per_token",
    "perplexity_per_word",
)
_AHEAD = 16  # windows that are submitted before the first of them is awaited
_RESAMPLES = 1000
_COUNTS_AT_ONCE = 2**22


@dataclasses.dataclass(frozen=True)
class Windows:
    """How long documents are read.

    Attributes:
      max_length: the most tokens of a window.
      stride: the most tokens that are scored in each window but the first.
      begin: the tokens before a document.
      begins_all: whether every window has them, and not the first alone: some models (Gemma) read
        nothing well without.
    """

    max_length: int
    stride: int
    begin: tuple[int, ...]
    begins_all: bool = False

    def __post_init__(self):
        if not 1 <= self.stride <= self.max_length:
            raise ConfigError(
                f"stride={self.stride} is out of range: give 1 to {self.max_length}, the tokens"
                " that the model reads"
            )
        if self.max_length <= len(self.begin):
            raise ConfigError(
                f"max_length={self.max_length} leaves no room behind the {len(self.begin)} tokens"
                " that begin a document"
            )

    def of(self, ids: Sequence[int]) -> Iterator[ScoreRequest]:
        """Yields the requests that together score each token of a document once, in order."""
        sequence, again = (*self.begin, *ids), self.begin if self.begins_all else ()
        most = min(self.stride, self.max_length - max(len(again), 1))
        first, end = len(self.begin), min(len(sequence), self.max_length)
        while first < end:
            start = max(0, end - self.max_length)
            before = sequence[start:first]
            if start and again:
                before = (*again, *sequence[start + len(again) : first])
            yield ScoreRequest(before, sequence[first:end])
            first, end = end, min(len(sequence), end + most)


class Measured(NamedTuple):
    """A document that was scored.

    Attributes:
      path: its file.
      nats: minus the log-probability, natural logarithm, of all tokens.
      tokens, bytes, characters, words: its length; words are divided by white space.
      is_kept: whether its tokens decode to itself; if not, as of a tokenizer with unknown tokens,
        the model has predicted less than the text.
    """

    path: str
    nats: float
    tokens: int
    bytes: int
    characters: int
    words: int
    is_kept: bool


def windows_of(
    reader: Reader, stride: int | None = None, begins_all: bool = False
) -> tuple[Windows, str]:
    """Returns how a model reads documents, and the rule by which they begin.

    Args:
      reader: of the model.
      stride: see `Windows`; None: half of what the model reads.
      begins_all: see `Windows`.
    """
    begin = reader.begin or (reader.tokenizer.eod_id,)
    rule = (
        "begin_ids of the tokenizer" if reader.begin else "eod_id: the tokenizer has no begin_ids"
    )
    stride = max(1, reader.max_length // 2) if stride is None else stride
    return Windows(reader.max_length, stride, begin, begins_all), rule


def measure(
    engine: Engine,
    reader: Reader,
    windows: Windows,
    documents: Iterable[Document],
    on_scored: Callable[[int], None] = lambda n: None,
) -> Iterator[Measured]:
    """Scores documents, in order, some windows ahead.

    Args:
      engine: of the model.
      reader: of the model.
      windows: see `windows_of`.
      documents: none of them empty; they are read as they are needed.
      on_scored: takes the number of tokens of each window that was scored.
    Raises:
      DataError: names the document that the engine refuses.
    """
    waiting: collections.deque = collections.deque()
    n_windows = 0
    for document in documents:
        ids = reader.tokenizer.encode(document.text)
        requests = list(windows.of(ids))
        waiting.append((document, ids, requests, [engine.submit(r) for r in requests]))
        n_windows += len(requests)
        while n_windows > _AHEAD:
            n_windows -= len(waiting[0][2])
            yield _measured(reader, on_scored, *waiting.popleft())
    while waiting:
        yield _measured(reader, on_scored, *waiting.popleft())


def _measured(
    reader: Reader, on_scored: Callable[[int], None], document: Document, ids, requests, tickets
) -> Measured:
    nats = []
    for request, ticket in zip(requests, tickets, strict=True):
        try:
            nats.append(-ticket.result().total)
        except RequestError as error:
            raise DataError(f"{document.path}:{document.line}: {error}") from error
        on_scored(len(request.continuation))
    text = document.text
    return Measured(
        path=document.path,
        nats=math.fsum(nats),
        tokens=len(ids),
        bytes=len(to_bytes(text)),
        characters=len(text),
        words=len(text.split()),
        is_kept=reader.tokenizer.decode_bytes(ids) == to_bytes(text),
    )


def summary(documents: Sequence[Measured], seed: int = 0) -> dict[str, Any]:
    """Returns sums and figures of documents as JSON.

    Each of `FIGURES` has its `value`, over all documents together, and the `interval` of 95% that a
    bootstrap over documents gives; None for a single document. A perplexity per word is None where
    there are no words.

    Args:
      documents: at least one.
      seed: of the bootstrap.
    """
    fields = ("nats", "tokens", "bytes", "characters", "words")
    rows_dk = np.array([[getattr(d, name) for name in fields] for d in documents], np.float64)
    draws_bk = np.concatenate(list(_resampled(rows_dk, seed))) if len(documents) > 1 else None
    values = _figures(rows_dk.sum(0, keepdims=True))
    draws = {} if draws_bk is None else _figures(draws_bk)
    sums = dict(zip(fields, rows_dk.sum(0).tolist()))
    return {
        "documents": len(documents),
        **{name: value if name == "nats" else int(value) for name, value in sums.items()},
        "not_kept": sum(not document.is_kept for document in documents),
        **{name: _summary(values[name], draws.get(name)) for name in FIGURES},
    }


def _resampled(rows_dk: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yields the sums of documents that are drawn with replacement (Efron 1979)."""
    rng, n = np.random.default_rng(seed), len(rows_dk)
    size = max(1, _COUNTS_AT_ONCE // n)
    for start in range(0, _RESAMPLES, size):
        drawn = rng.multinomial(n, np.full(n, 1 / n), min(size, _RESAMPLES - start))
        yield drawn @ rows_dk


def _figures(sums_bk: np.ndarray) -> dict[str, np.ndarray]:
    nats, tokens, n_bytes, characters, words = sums_bk.T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = (
            nats / math.log(2) / n_bytes,
            nats / math.log(2) / characters,
            np.exp(nats / tokens),
            np.where(words > 0, np.exp(nats / words), np.nan),
        )
    return dict(zip(FIGURES, values))


def _summary(value_b: np.ndarray, draws: np.ndarray | None) -> dict[str, Any]:
    value = float(value_b[0])
    interval = percentile_interval(draws) if draws is not None and math.isfinite(value) else None
    return {
        "value": value if math.isfinite(value) else None,
        "interval": None if interval is None else list(interval),
    }


def table(files: Sequence[dict[str, Any]], total: dict[str, Any]) -> str:
    """Returns the lines of a table: a row for each file, and for all together if there are several.

    Args:
      files: a `summary` of each, with its `path`.
      total: the `summary` of all.
    """
    rows = [(file["path"], file) for file in files]
    rows += [("all", total)] if len(files) > 1 else []
    width = max(len(name) for name, _ in rows)
    head = f"{'documents':>9}  {'tokens':>11}  {'bits per byte':>24}  {'per character':>13}"
    lines = [f"{'file':<{width}}  {head}  {'perplexity per token':>20}  {'per word':>12}"]
    for name, row in rows:
        bits, *others = (row[figure]["value"] for figure in FIGURES)
        low, high = row["bits_per_byte"]["interval"] or (math.nan, math.nan)
        interval = f" [{low:.4f}, {high:.4f}]" if not math.isnan(low) else ""
        per_character, per_token, per_word = (math.nan if v is None else v for v in others)
        lines.append(
            f"{name:<{width}}  {row['documents']:>9,}  {row['tokens']:>11,}"
            f"  {f'{bits:.4f}{interval}':>24}  {per_character:>13.4f}  {per_token:>20,.3f}"
            f"  {per_word:>12,.1f}"
        )
    return "\n".join(lines)
