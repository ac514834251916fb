"""The journal of a build: what a killed one wrote is read again, and what follows it is not."""

import hashlib
import itertools
import os
from collections import Counter

import numpy as np
import pytest

from hclx.data.cache_builder import _known_documents
from hclx.data.journal import EncodedDocument, Journal
from hclx.text.documents import Document

DTYPE = np.dtype(np.uint16)
TEXTS = [f"글 {number}" * (number + 1) for number in range(6)]


def encoded(text: str) -> EncodedDocument:
    data = text.encode()
    ids = np.frombuffer(hashlib.sha512(data).digest(), DTYPE)[: len(text)]
    return EncodedDocument(ids, len(data), hashlib.sha256(data).digest(), 3, len(text))


def written(folder, texts):
    with Journal(folder, "a.train", DTYPE) as journal:
        for text in texts:
            journal.append(encoded(text))


def content(folder):
    with Journal(folder, "a.train", DTYPE) as journal:
        return [plain(document) for document in journal.read()]


def plain(document):
    return (document.ids.tolist(), *document[1:])


def expected(texts):
    return [plain(encoded(text)) for text in texts]


def build(folder, texts, stop_after=None):
    """Goes on as a build does; returns how many documents it had to encode. `stop_after` so many of
    these it is killed.
    """
    with Journal(folder, "a.train", DTYPE) as journal:
        known = _known_documents(journal, map(Document, texts))
        counts, given = Counter(), []
        while True:
            try:
                given.append(plain(next(known)))
            except StopIteration as end:
                rest = end.value
                break
        for document in itertools.islice(rest, stop_after):
            journal.append(encoded(document.text))
            given.append(plain(encoded(document.text)))
            counts["encoded"] += 1
    if stop_after is None:
        assert given == expected(texts)
    return counts["encoded"]


def test_documents_come_back_and_none_of_them_is_encoded_again(tmp_path):
    written(tmp_path, TEXTS[:4])
    assert content(tmp_path) == expected(TEXTS[:4])
    assert build(tmp_path, TEXTS) == 2
    assert content(tmp_path) == expected(TEXTS)
    assert build(tmp_path, TEXTS) == 0


@pytest.mark.parametrize(
    "file, lost", [("documents", 1), ("documents", 100), ("ids", 1), ("ids", 30)]
)
def test_what_a_kill_cut_off_is_encoded_again_and_what_follows_is_read_the_next_time(
    file, lost, tmp_path
):
    """Whatever remains of the last documents must not stand between them and those that follow: a
    build that is killed twice has what both have encoded.
    """
    written(tmp_path, TEXTS[:4])
    path = tmp_path / f"a.train.{file}"
    os.truncate(path, path.stat().st_size - lost)
    whole = len(content(tmp_path))
    assert 0 < whole < 4
    assert build(tmp_path, TEXTS, stop_after=1) == 1
    assert content(tmp_path) == expected(TEXTS[: whole + 1])
    assert build(tmp_path, TEXTS) == len(TEXTS) - whole - 1


def test_a_flipped_bit_of_the_tokens_ends_what_is_known(tmp_path):
    written(tmp_path, TEXTS[:4])
    data = bytearray((tmp_path / "a.train.ids").read_bytes())
    data[2 * len(TEXTS[0])] ^= 1  # the first token of the second document
    (tmp_path / "a.train.ids").write_bytes(data)
    assert content(tmp_path) == expected(TEXTS[:1])
    assert build(tmp_path, TEXTS) == 5
    assert content(tmp_path) == expected(TEXTS)


@pytest.mark.parametrize(
    "texts, encoded_again",
    [
        ([*TEXTS[:2], "다른 글", *TEXTS[3:]], 4),
        (["다른 글", *TEXTS], 7),
        (TEXTS[:3], 0),
        (TEXTS[1:], 5),
    ],
    ids=["one is another", "one more in front", "fewer", "the first is gone"],
)
def test_of_another_text_what_is_equal_from_the_beginning_is_known(texts, encoded_again, tmp_path):
    written(tmp_path, TEXTS)
    assert build(tmp_path, texts) == encoded_again
    assert content(tmp_path) == expected(texts)
