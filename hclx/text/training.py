"""Trains a tokenizer: texts -> sample -> chunks -> counts -> sentencepiece BPE over the byte-level
alphabet.

Only the counts are held in memory, so the size of the text does not matter. If a sample is too
little text for the vocabulary, all documents are counted.
"""

import functools
import hashlib
import io
import json
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hclx.errors import ConfigError, DataError, require
from hclx.progress import counted, size_in_words
from hclx.text.export import write_exports
from hclx.text.new_folder import FolderTakenError, new_folder
from hclx.text.pretokenizers import (
    MODE_OF,
    pretokenizer_identity,
    resolve_morphemes,
    shared_pretokenizer,
)
from hclx.text.tokenizer import (
    BYTE_TO_CHAR,
    CONTROL_SYMBOLS,
    EOD_ID,
    FORMAT,
    METADATA_FILE,
    MODEL_FILE,
    PAD_ID,
    UNK_ID,
    Tokenizer,
    bytes_to_chars,
    load_tokenizer,
    to_bytes,
)
from hclx.text.workers import batches, call_native, default_workers, ordered_map, sigterm_exits

_LOG = logging.getLogger(__name__)

VOCAB_MULTIPLE = 128  # so that the vocabulary can be sharded evenly
MAX_TOKEN_BYTES = 48  # sixteen Hangul syllables
# Longer chunks are counted in parts: sentencepiece ends the process at one of 65,536 bytes.
MAX_CHUNK_BYTES = 1024
_MIN_VOCAB = -(-(len(CONTROL_SYMBOLS) + 256) // VOCAB_MULTIPLE) * VOCAB_MULTIPLE

# Of a tokenizer that is smaller than was asked for: the number of tokens that was.
REQUESTED_VOCAB_SIZE = "requested_vocab_size"


class TooLittleTextError(DataError):
    """The text, or the sample of it, is too little for the vocabulary."""


def train_tokenizer(
    texts: Iterable[str],
    output_dir: str | Path,
    *,
    vocab_size: int = 51_200,
    morphemes: str | None = None,
    sample_rate: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    mode: str | None = None,
    may_shrink: bool = False,
) -> Tokenizer:
    """Trains a tokenizer, writes its folder, with exports unless text is split at morphemes, and
    returns it loaded.

    Args:
      texts: documents. They are read again, unless they are an iterator, if their sample is too
        little text.
      output_dir: a folder that is missing or empty; it appears whole or not at all.
      vocab_size: tokens, control symbols included; a multiple of 128, at least 384.
      morphemes: where morpheme boundaries apply; see `hclx.text.pretokenizers`. Default: "merges".
      sample_rate: share of the documents that is counted, above 0 and at most 1; if that is too
        little text for the vocabulary, all are.
      seed: of the sample.
      workers: processes that split text; default: one for each core. They do not change the result.
      mode: the older name of `morphemes`; see `resolve_morphemes`.
      may_shrink: a text that is too little for the vocabulary gives the largest that it allows.
    Raises:
      ConfigError: a value is out of range, the folder is taken, or kiwipiepy is not installed.
      DataError: there is no text, or too little for the vocabulary.
    """
    morphemes = resolve_morphemes(morphemes, mode)

    def count(rate: float, totals: Counter) -> Counter:
        if rate != sample_rate and iter(texts) is texts:
            raise TooLittleTextError("too little text in the sample of texts that are read once")
        return count_chunks(sample(texts, rate, seed, totals), morphemes, workers)

    return train_counted(
        count,
        output_dir,
        vocab_size=vocab_size,
        morphemes=morphemes,
        sample_rate=sample_rate,
        seed=seed,
        may_shrink=may_shrink,
    )


def train_counted(
    count: Callable[[float, Counter], Counter],
    output_dir: str | Path,
    *,
    vocab_size: int,
    morphemes: str,
    sample_rate: float,
    seed: int,
    may_shrink: bool = False,
) -> Tokenizer:
    """Trains a tokenizer from the counts of a function, and writes its folder.

    Args:
      count: (rate, totals) -> how often each chunk occurs in a sample of this rate, as
        `count_chunks` returns it; it adds the numbers of `sample` to `totals`. It is called after
        everything else has been checked, and again with rate 1 if the sample is too little text.
      output_dir, vocab_size, morphemes, sample_rate, seed, may_shrink: see `train_tokenizer`.
    Returns:
      The new tokenizer, or the same one that another process has meanwhile made there.
    Raises:
      ConfigError, DataError: see `train_tokenizer`.
    """
    _check(vocab_size, morphemes, sample_rate)
    output_dir = Path(output_dir)
    if (output_dir / METADATA_FILE).exists():
        raise ConfigError(f"{output_dir} already holds a tokenizer; choose another folder")
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise ConfigError(f"{output_dir} exists and is no empty folder; choose another folder")
    pretokenizer, totals = pretokenizer_identity(morphemes), Counter()

    def train(rate: float) -> bytes:
        counts = functools.partial(_counts_of_some, count, rate, totals)
        return train_from_counts(counts(), vocab_size, folder, may_shrink and rate == 1)

    metadata = {}
    try:
        with sigterm_exits(), new_folder(output_dir) as folder:
            model = _on_enough_text(train, sample_rate, totals)
            metadata = {
                "format": FORMAT,
                "mode": MODE_OF[morphemes],
                "cutter": pretokenizer,
                "vocab_size": _size_of(model),
                "model_sha256": hashlib.sha256(model).hexdigest(),
                "sample_rate": sample_rate,
                "seed": seed,
                "documents": totals["documents"],
                "bytes": totals["bytes"],
                "control_symbols": list(CONTROL_SYMBOLS),
            }
            if metadata["vocab_size"] != vocab_size:
                metadata[REQUESTED_VOCAB_SIZE] = vocab_size
            _write(folder, model, metadata)
    except FolderTakenError:
        if load_tokenizer(output_dir).metadata != metadata:
            raise
    return load_tokenizer(output_dir)


def _counts_of_some(
    count: Callable[[float, Counter], Counter], rate: float, totals: Counter
) -> Counter:
    """The counts of a sample that is not empty; `totals` is of this sample alone."""
    totals.clear()
    counts = count(rate, totals)
    if not totals["seen"]:
        raise DataError("no text to train on: there is no document with text; give some")
    if not counts:
        raise TooLittleTextError("too little text: no document is in the sample")
    return counts


def _on_enough_text(train: Callable[[float], bytes], rate: float, totals: Counter) -> bytes:
    """Calls `train` with a sample rate, and with 1 if the sample is too little text."""
    if rate < 1:
        try:
            return train(rate)
        except TooLittleTextError:
            _LOG.warning(
                "the sample, %s of %s, is too little text for the vocabulary: all are counted",
                f"{totals['documents']:,}",
                counted(totals["seen"], "document"),
            )
    return train(1.0)


def _size_of(model: bytes) -> int:
    return len(_proto_of(model).pieces)


def _proto_of(model: bytes):
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto.FromString(model)


def _check(vocab_size: int, morphemes: str, sample_rate: float) -> None:
    if resolve_morphemes(morphemes) != "none":
        require("kiwipiepy")
    if vocab_size % VOCAB_MULTIPLE or vocab_size < _MIN_VOCAB:
        raise ConfigError(
            f"vocab_size={vocab_size} must be a multiple of {VOCAB_MULTIPLE}, at least {_MIN_VOCAB}"
        )
    if not 0 < sample_rate <= 1:
        raise ConfigError(f"sample_rate={sample_rate} is not in (0, 1]")


def sample(texts: Iterable[str], rate: float, seed: int, totals: Counter) -> Iterator[str]:
    """Yields the texts that are counted. Each is chosen by a hash of seed and text, whatever the
    others are.

    Args:
      rate: share of the texts, from 0 to 1.
      totals: the number of all texts is added to `seen`, the number and the bytes of the chosen
        ones to `documents` and `bytes`.
    """
    for text in texts:
        totals["seen"] += 1
        data = to_bytes(text)
        digest = hashlib.sha256(b"%d " % seed + data).digest()
        if int.from_bytes(digest[:8]) < rate * 2**64:
            totals["documents"] += 1
            totals["bytes"] += len(data)
            yield text


def count_chunks(texts: Iterable[str], morphemes: str, workers: int | None = None) -> Counter:
    """Counts how often each chunk, a string of raw text, occurs in the texts; empty without texts.
    A chunk of more than `MAX_CHUNK_BYTES` counts as parts of at most so many.

    Args:
      texts: documents.
      morphemes: decides how they are split; see `hclx.text.pretokenizers`.
      workers: processes that split; default: one for each core.
    """
    counts: Counter = Counter()
    stream = batches(texts)
    first = next(stream, None)
    if first is None:
        return counts
    second = next(stream, None)
    if morphemes == "none" or second is None:  # a process is not worth its start
        workers = 1
    stream = (batch for head in ([first], [second] if second else [], stream) for batch in head)
    count_batch = functools.partial(_count_batch, morphemes)
    for batch_counts in ordered_map(count_batch, stream, workers or default_workers()):
        counts.update(batch_counts)
    return counts


def _count_batch(morphemes: str, texts: list[str]) -> Counter:
    split = shared_pretokenizer(morphemes).split
    counts: Counter = Counter()
    for text in texts:
        counts.update(split(text))
    for chunk in [chunk for chunk in counts if len(chunk) * 4 > MAX_CHUNK_BYTES]:
        count = counts.pop(chunk)
        for part in _bounded(chunk):
            counts[part] += count
    return counts


def _bounded(chunk: str) -> Iterator[str]:
    """The chunk in parts of at most `MAX_CHUNK_BYTES` in UTF-8, split between characters."""
    begin = size = 0
    for at, char in enumerate(chunk):
        length = len(to_bytes(char))
        if size + length > MAX_CHUNK_BYTES:
            yield chunk[begin:at]
            begin, size = at, 0
        size += length
    yield chunk[begin:]


def train_from_counts(
    counts: Counter, vocab_size: int, folder: Path | None = None, may_shrink: bool = False
) -> bytes:
    """Trains a sentencepiece BPE model from chunk counts; returns its serialised bytes.

    Every byte becomes a token: a row for each is added, because sentencepiece takes its characters
    from the input alone.

    Args:
      counts: chunk of raw text -> how often it occurs, as `count_chunks` returns them.
      vocab_size: tokens, control symbols included; a multiple of 128.
      folder: takes a temporary file of the counts; default: the system's folder for such files.
      may_shrink: if the text is too little for the vocabulary, the largest that it allows is made.
    Raises:
      TooLittleTextError: the text is too little for the vocabulary; the largest that works is
        named.
    """
    n_bytes = 0
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        rows = Path(temporary) / "counts.tsv"
        with rows.open("w", encoding="utf-8") as file:
            for chunk, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
                data = to_bytes(chunk)
                n_bytes += len(data) * count
                if len(data) > MAX_CHUNK_BYTES:  # sentencepiece would leave it out in silence
                    raise ValueError(f"a chunk of {len(data)} bytes; count it with count_chunks")
                file.write(f"{bytes_to_chars(data)}\t{count}\n")
            file.writelines(f"{char}\t1\n" for char in BYTE_TO_CHAR)
        del counts  # frees them if the caller kept none: merging needs as much memory again
        model, largest = _train_model(rows, vocab_size)
        if not model and may_shrink and largest >= _MIN_VOCAB:
            _LOG.warning(
                "too little text for %s tokens: the tokenizer has %s, the most that %s allow",
                f"{vocab_size:,}",
                f"{largest:,}",
                size_in_words(n_bytes),
            )
            model, _ = _train_model(rows, largest)
    if model:
        return _without_paths(model)
    advice = f"at most {largest} would work" if largest >= _MIN_VOCAB else "give more text"
    raise TooLittleTextError(
        f"{size_in_words(n_bytes)} are too little text for vocab_size={vocab_size}; {advice}"
    )


def _train_model(rows: Path, vocab_size: int) -> tuple[bytes, int]:
    """Returns the model, b"" if there is too little text; and the size of the largest one."""
    import sentencepiece

    model = io.BytesIO()
    options = {"input": str(rows), "model_writer": model, **_trainer_options(vocab_size)}
    try:
        call_native(functools.partial(sentencepiece.SentencePieceTrainer.train, **options))
        return model.getvalue(), vocab_size
    except RuntimeError as error:
        limit = re.search(r"<= (\d+)", str(error))
        if not limit:
            raise
        return b"", int(limit[1]) // VOCAB_MULTIPLE * VOCAB_MULTIPLE


def _without_paths(model: bytes) -> bytes:
    """Removes the name of the temporary input, so that equal counts give equal bytes."""
    proto = _proto_of(model)
    proto.trainer_spec.ClearField("input")
    return proto.SerializeToString(deterministic=True)


def _trainer_options(vocab_size: int) -> dict:
    return {
        "input_format": "tsv",
        "model_type": "bpe",
        "vocab_size": vocab_size,
        "character_coverage": 1.0,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "split_by_whitespace": False,
        "split_by_unicode_script": False,
        "split_by_number": False,
        "max_sentencepiece_length": MAX_TOKEN_BYTES,
        "max_sentence_length": 4 * MAX_CHUNK_BYTES,  # it drops longer lines in silence
        "pad_id": PAD_ID,
        "pad_piece": CONTROL_SYMBOLS[PAD_ID],
        "eos_id": EOD_ID,
        "eos_piece": CONTROL_SYMBOLS[EOD_ID],
        "unk_id": UNK_ID,
        "unk_piece": CONTROL_SYMBOLS[UNK_ID],
        "bos_id": -1,
        "control_symbols": ",".join(CONTROL_SYMBOLS[3:]),
        "num_threads": 1,
        "minloglevel": 2,
    }


def _write(folder: Path, model: bytes, metadata: dict) -> None:
    """Writes the files of a tokenizer, and adds the hashes of its exports to the metadata."""
    (folder / MODEL_FILE).write_bytes(model)
    tokenizer = Tokenizer(model, metadata)
    if not tokenizer.splits_text:
        metadata["exports_sha256"] = write_exports(tokenizer, folder)
    (folder / METADATA_FILE).write_text(
        json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
