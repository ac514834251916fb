"""Trains a tokenizer: texts -> sample -> chunks -> counts -> sentencepiece BPE over the byte
alphabet.

Only the counts are held in memory, so the size of the text does not matter.
"""

import functools
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from hclx.errors import ConfigError, DataError, require
from hclx.text import pretokenizers
from hclx.text.byte_level import BYTE_TO_CHAR, bytes_to_chars, to_bytes
from hclx.text.export import write_exports
from hclx.text.tokenizer import (
    CONTROL_SYMBOLS,
    EOD_ID,
    FORMAT,
    METADATA_FILE,
    MODEL_FILE,
    PAD_ID,
    UNK_ID,
    Tokenizer,
    load_tokenizer,
)
from hclx.text.workers import batches, default_workers, ordered_map

MODES = ("train", "encode", "plain")
VOCAB_MULTIPLE = 128  # so that the vocabulary cuts evenly over devices
MAX_PIECE_CHARS = 48  # bytes: sixteen Hangul syllables
_MIN_VOCAB = -(-(len(CONTROL_SYMBOLS) + 256) // VOCAB_MULTIPLE) * VOCAB_MULTIPLE


def train_tokenizer(
    texts: Iterable[str],
    output_dir: str | Path,
    *,
    vocab_size: int = 51_200,
    mode: str = "train",
    sample_rate: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
) -> Tokenizer:
    """Trains a tokenizer and writes its folder.

    Args:
      texts: documents.
      output_dir: must not hold a tokenizer yet; it appears whole or not at all.
      vocab_size: pieces with the control symbols; a multiple of 128.
      mode: see `hclx.text.tokenizer`.
      sample_rate: share of the documents that is counted, chosen by hash of seed and text.
      seed: of the sample.
      workers: processes that cut; default: one a core. The result does not depend on it.
    Raises:
      ConfigError: a value is out of range, or the folder is taken.
      DataError: there is no text, or too little for the vocabulary.
    """

    def count(totals: Counter) -> Counter:
        return count_chunks(sample(texts, sample_rate, seed, totals), mode, workers)

    return train_counted(
        count, output_dir, vocab_size=vocab_size, mode=mode, sample_rate=sample_rate, seed=seed
    )


def train_counted(
    count: Callable[[Counter], Counter],
    output_dir: str | Path,
    *,
    vocab_size: int,
    mode: str,
    sample_rate: float,
    seed: int,
) -> Tokenizer:
    """Trains a tokenizer from texts that somebody else counts, and writes its folder.

    Args:
      count: (totals) -> how often each chunk occurs in the sample; it puts the numbers of `sample`
        into `totals`. It is called once, when everything else has been checked.
      output_dir, vocab_size, mode, sample_rate, seed: see `train_tokenizer`.
    Raises:
      ConfigError, DataError: see `train_tokenizer`.
    """
    _check(vocab_size, mode, sample_rate)
    output_dir = Path(output_dir)
    if (output_dir / METADATA_FILE).exists():
        raise ConfigError(f"{output_dir} already holds a tokenizer; choose another folder")
    totals: Counter = Counter()

    def checked():
        counts = count(totals)
        if not counts:
            raise DataError(
                f"no text to train on: {totals['documents']} of {totals['seen']} documents in the"
                " sample"
            )
        return counts

    model = train_from_counts(checked(), vocab_size)
    metadata = {
        "format": FORMAT,
        "mode": mode,
        "cutter": cutter_identity(mode),
        "vocab_size": vocab_size,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "sample_rate": sample_rate,
        "seed": seed,
        "documents": totals["documents"],
        "bytes": totals["bytes"],
        "control_symbols": list(CONTROL_SYMBOLS),
    }
    _write(output_dir, model, metadata)
    return load_tokenizer(output_dir)


def _check(vocab_size: int, mode: str, sample_rate: float) -> None:
    if mode not in MODES:
        raise ConfigError(f"mode={mode!r} is not one of {', '.join(MODES)}")
    if mode != "plain":
        require("kiwipiepy")
    if vocab_size % VOCAB_MULTIPLE or vocab_size < _MIN_VOCAB:
        raise ConfigError(
            f"vocab_size={vocab_size} must be a multiple of {VOCAB_MULTIPLE}, at least {_MIN_VOCAB}"
        )
    if not 0 < sample_rate <= 1:
        raise ConfigError(f"sample_rate={sample_rate} is not in (0, 1]")


def sample(texts: Iterable[str], rate: float, seed: int, totals: Counter) -> Iterator[str]:
    """The texts that are counted, whatever stands before them: each is chosen by hash of seed and
    text.

    Args:
      rate: share of the texts.
      totals: takes how many texts were `seen`, and the number of `documents` and `bytes` of those
        that are given.
    """
    for text in texts:
        totals["seen"] += 1
        data = to_bytes(text)
        digest = hashlib.sha256(b"%d " % seed + data).digest()
        if int.from_bytes(digest[:8]) < rate * 2**64:
            totals["documents"] += 1
            totals["bytes"] += len(data)
            yield text


def count_chunks(texts: Iterable[str], mode: str, workers: int | None = None) -> Counter:
    """How often each chunk occurs in the texts, cut as `mode` cuts."""
    counts: Counter = Counter()
    stream = batches(texts)
    first = next(stream, None)
    if first is None:
        return counts
    second = next(stream, None)
    if mode == "plain" or second is None:  # a process is not worth its start
        workers = 1
    stream = (batch for head in ([first], [second] if second else [], stream) for batch in head)
    cut = ordered_map(
        _count,
        stream,
        initializer=_set_cutter,
        initargs=(mode,),
        workers=workers or default_workers(),
    )
    for part in cut:
        counts.update(part)
    return counts


_cutter: pretokenizers.Cutter | None = None  # of this process: loading an analyser takes seconds


def _is_set(mode: str) -> bool:
    return _cutter is not None and isinstance(_cutter, pretokenizers.EojeolCutter) == (
        mode == "plain"
    )


def _set_cutter(mode: str) -> None:
    global _cutter
    if not _is_set(mode):
        _cutter = pretokenizers.make_cutter(mode)


def _count(texts: list[str]) -> Counter:
    counts: Counter = Counter()
    for text in texts:
        counts.update(_cutter.cut(text))
    return counts


@functools.cache
def cutter_identity(mode: str) -> str:
    """Name and version of the cutter that `mode` uses."""
    return (_cutter if _is_set(mode) else pretokenizers.make_cutter(mode)).identity


def train_from_counts(counts: Counter, vocab_size: int) -> bytes:
    """A sentencepiece BPE model from chunk counts, as its serialised bytes.

    Every byte is a piece: a row for each is added, as sentencepiece takes characters from its input
      alone.

    Raises:
      DataError: the text is too small for the vocabulary; the largest that works is named.
    """
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "counts.tsv"
        with rows.open("w", encoding="utf-8") as file:
            for chunk, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
                file.write(f"{bytes_to_chars(to_bytes(chunk))}\t{count}\n")
            file.writelines(f"{char}\t1\n" for char in BYTE_TO_CHAR)
        del counts  # a caller who kept none frees them here: merging takes as much memory again
        try:
            sentencepiece.SentencePieceTrainer.train(
                input=str(rows), model_writer=model, **_trainer_options(vocab_size)
            )
        except RuntimeError as error:
            limit = re.search(r"<= (\d+)", str(error))
            if not limit:
                raise
            largest = int(limit[1]) // VOCAB_MULTIPLE * VOCAB_MULTIPLE
            raise DataError(
                f"too little text for vocab_size={vocab_size}; at most {largest} would work"
            ) from error
    return _without_paths(model.getvalue())


def _without_paths(model: bytes) -> bytes:
    """The model without the name of its temporary input, so that equal counts give equal bytes."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
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
        "max_sentencepiece_length": MAX_PIECE_CHARS,
        "max_sentence_length": 1 << 24,  # the default would drop long chunks in silence
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


def _write(output_dir: Path, model: bytes, metadata: dict) -> None:
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}.", dir=output_dir.parent))
    try:
        (temporary / MODEL_FILE).write_bytes(model)
        (temporary / METADATA_FILE).write_text(
            json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        if metadata["mode"] != "encode":
            write_exports(Tokenizer(model, metadata), temporary)
        temporary.chmod(0o755)
        os.replace(temporary, output_dir)  # onto nothing, or an empty folder
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
