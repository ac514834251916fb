"""The token cache: it holds exactly the documents' tokens, appears whole or not at all, and notices
damage.
"""

import errno
import functools
import hashlib
import itertools
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from hclx.data import TokenCache, cache_builder
from hclx.data.cache_builder import StreamWriter, build_cache
from hclx.data.cache_files import _sizes, check_files
from hclx.data.source import ReadSettings, Source, input_source
from hclx.data.token_cache import _open, too_little
from hclx.errors import ConfigError, DataError, StorageError
from hclx.text.documents import Document
from hclx.text.workers import batches
from tests.conftest import SAMPLE
from tests.helpers.sources import memory_source

SETTINGS = ReadSettings(validation_permille=200)


@pytest.fixture(scope="module")
def cache(tokenizer_dirs, tmp_path_factory) -> TokenCache:
    folder = tmp_path_factory.mktemp("cache")
    return build_cache(
        "sample", [input_source(str(SAMPLE))], tokenizer_dirs["train"], folder / "cache", SETTINGS
    )


def test_streams_are_the_encoded_documents(cache, tokenizers, sample_texts):
    tokenizer = tokenizers["train"]
    for split in ("train", "validation"):
        documents = [tokenizer.encode(t) for t in sample_texts if SETTINGS.split_of(t) == split]
        expected = list(itertools.chain(*([1, *ids] for ids in documents), [1]))
        stream, offsets = cache.stream(split, 0), cache.offsets(split, 0)
        assert stream.tolist() == expected
        assert (stream[offsets] == 1).all() and len(offsets) == len(documents) + 1
        entry = cache.manifest["sources"][0]["splits"][split]
        assert (entry["n_tokens"], entry["n_documents"]) == (len(expected), len(documents))


def test_splits_are_disjoint_by_document_and_cover_all(sample_texts):
    sides = {text: SETTINGS.split_of(text) for text in sample_texts}
    held_out = sum(side == "validation" for side in sides.values())
    assert 0.1 < held_out / len(sides) < 0.35
    for text in sample_texts[:10]:
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        assert sides[text] == ("validation" if number % 1000 < 200 else "train")


def test_windows_overlap_by_one_token_so_that_every_token_is_a_target_once(cache):
    stream = cache.stream("train", 0)
    (n,) = cache.n_sequences("train", 64)
    windows = np.stack([cache.read("train", 0, i, 64).result() for i in range(n)])
    assert (windows[:, 1:].ravel() == stream[1 : n * 64 + 1]).all()
    assert (windows[1:, 0] == windows[:-1, -1]).all() and len(stream) - (n * 64 + 1) < 64


def test_number_of_workers_does_not_change_a_byte(
    tokenizer_dirs, tmp_path, sample_texts, monkeypatch
):
    """Each worker has several batches, which are small so that the text may be little."""
    source, n_batches = memory_source("memory", sample_texts), []

    def small_batches(texts):
        n_batches.append(0)
        for batch in batches(texts, max_chars=4_000):
            n_batches[-1] += 1
            yield batch

    monkeypatch.setattr(cache_builder, "batches", small_batches)
    settings = ReadSettings(validation_permille=0)  # workers are started for each split
    caches = [
        build_cache("m", [source], tokenizer_dirs["encode"], tmp_path / str(n), settings, workers=n)
        for n in (1, 2)
    ]
    assert min(n_batches[::2]) >= 4, n_batches
    assert caches[0].fingerprint == caches[1].fingerprint
    assert (caches[0].stream("train", 0) == caches[1].stream("train", 0)).all()


def test_fingerprint_follows_text_vocabulary_and_rates(tokenizer_dirs, tmp_path, sample_texts):
    build = lambda name, texts, mode="plain", rate=1.0: (
        build_cache(
            "m",
            [memory_source("a", texts, rate), memory_source("b", texts)],
            tokenizer_dirs[mode],
            tmp_path / name,
            SETTINGS,
        ).fingerprint
    )
    base = build("1", sample_texts)
    assert build("2", sample_texts) == base
    others = {
        build("3", sample_texts[1:]),
        build("4", sample_texts, "train"),
        build("5", sample_texts, rate=2.0),
    }
    assert len(others | {base}) == 4


def test_a_failed_build_leaves_nothing(tokenizer_dirs, tmp_path):
    def broken(split, settings, counts):
        yield Document("글 하나", "broken.jsonl", 1)
        raise DataError("broken.jsonl:2: not JSON")

    with pytest.raises(DataError, match="broken.jsonl:2"):
        build_cache(
            "m",
            [Source("a", 1.0, lambda: [], broken)],
            tokenizer_dirs["plain"],
            tmp_path / "cache",
            SETTINGS,
        )
    with pytest.raises(DataError, match="no document"):
        build_cache(
            "m", [memory_source("a", [])], tokenizer_dirs["plain"], tmp_path / "cache", SETTINGS
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_cache_is_left_alone(cache, tokenizer_dirs):
    with pytest.raises(ConfigError, match="already holds a token cache"):
        build_cache(
            "sample",
            [input_source(str(SAMPLE))],
            tokenizer_dirs["plain"],
            cache.directory,
            SETTINGS,
        )


def test_a_split_with_less_than_one_window_says_what_to_do(cache):
    with pytest.raises(DataError, match="one sequence needs 1000001; give more text"):
        cache.n_sequences("train", 1_000_000)


@pytest.mark.parametrize(
    ("train", "validation", "split", "advice"),
    [
        (40, 5, "train", "give more text or a shorter TrainConfig.sequence_length (at most 39)"),
        (1, 1, "train", "give more text"),
        (60, 10, "train", "give more text or a shorter TrainConfig.sequence_length (at most 59)"),
        # 90% are held out
        (
            *(20, 180, "train"),
            "give more text, a shorter TrainConfig.sequence_length (at most 19) or a smaller"
            " DataConfig.validation_permille",
        ),
        (
            100,
            9,
            "validation",
            "give more text or a shorter TrainConfig.sequence_length (at most 8)",
        ),
        (5000, 1, "validation", "give more text or a larger DataConfig.validation_permille"),
    ],
)
def test_too_little_text_gets_the_advice_that_helps(train, validation, split, advice):
    sizes = {"train": [train, 1], "validation": [validation, 1]}
    cache = SimpleNamespace(rates=[1, 1], n_tokens=lambda split, source: sizes[split][source])
    assert too_little(cache, split, 64) == advice


def test_a_source_that_is_too_small_for_a_sequence_has_none(tokenizer_dirs, tmp_path, sample_texts):
    sources = [memory_source("a", sample_texts), memory_source("tiny", ["가나"], 5.0)]
    cache = build_cache("m", sources, tokenizer_dirs["plain"], tmp_path / "cache", SETTINGS)
    n_tokens = cache.n_tokens("train", 1)
    assert 3 <= n_tokens <= 64 and cache.n_tokens("validation", 1) == 1
    assert cache.n_sequences("train", 64)[0] > 100 and cache.n_sequences("train", 64)[1] == 0
    assert cache.n_sequences("train", n_tokens - 1)[1] == 1
    assert cache.n_sequences("train", n_tokens)[1] == 0
    assert cache.too_short("train", 64) == {"tiny": n_tokens}
    assert cache.too_short("validation", 64) == {"tiny": 1}
    with pytest.raises(DataError, match=f"no source has more than {n_tokens} tokens in split"):
        alone = [memory_source("tiny", ["가나"])]
        build_cache("m", alone, tokenizer_dirs["plain"], tmp_path / "b", SETTINGS).n_sequences(
            "train", 64
        )


class TestDamage:
    @pytest.fixture()
    def folder(self, cache, tmp_path):
        import shutil

        return shutil.copytree(cache.directory, tmp_path / "cache")

    def shard(self, folder):
        files = [p for p in (folder / "train" / "input" / "tokens" / "c").rglob("*") if p.is_file()]
        return max(files, key=os.path.getsize)

    def test_one_flipped_bit_of_the_tokens(self, folder):
        data = bytearray(self.shard(folder).read_bytes())
        data[len(data) // 3] ^= 0x10
        self.shard(folder).write_bytes(data)
        with pytest.raises(DataError, match="(?i)damaged .*(crc|checksum|digest).*built again"):
            TokenCache(folder).stream("train", 0)

    def test_changed_manifest(self, folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["eod_id"] = 2
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(DataError, match="damaged or of another version"):
            TokenCache(folder)

    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match="does not exist; build the cache"):
            TokenCache(tmp_path / "none")

    def test_missing_stream(self, folder):
        import shutil

        shutil.rmtree(folder / "train" / "input" / "tokens")
        with pytest.raises(DataError, match="the token cache is damaged .*does not exist"):
            TokenCache(folder).stream("train", 0)

    @pytest.mark.parametrize(
        ("array", "read"),
        [
            ("tokens", lambda cache: cache.stream("train", 0)),
            ("offsets", lambda cache: cache.offsets("train", 0)),
            ("origins", lambda cache: cache.origin("train", 0, 0)),
        ],
    )
    def test_a_missing_file_is_not_taken_for_zeros(self, folder, array, read):
        (folder / "train" / "input" / array / "c" / "0").unlink()
        with pytest.raises(DataError, match="the token cache is damaged .*NOT_FOUND.*built again"):
            read(TokenCache(folder))

    @pytest.mark.parametrize("array", ["tokens", "offsets", "origins"])
    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_files_are_missed_before_they_are_read(self, folder, split, array):
        check_files(TokenCache(folder))
        shard = folder / split / "input" / array / "c" / "0"
        content = shard.read_bytes()
        shard.write_bytes(content[:-100])  # an interrupted copy
        with pytest.raises(DataError, match=f"{array}/c/0 of .* has .*; copy the cache again, or"):
            check_files(TokenCache(folder))
        for path in (shard, shard.parent.parent / "zarr.json"):
            path.unlink()
            with pytest.raises(DataError, match=f"{path} is missing from .*; copy the cache again"):
                check_files(TokenCache(folder))

    def test_one_flipped_bit_of_the_bytes_of_a_token(self, folder):
        path = folder / "piece_bytes.npy"
        content = bytearray(path.read_bytes())
        content[-3] ^= 2
        path.write_bytes(content)
        with pytest.raises(DataError, match="piece_bytes.npy is damaged; remove the cache"):
            TokenCache(folder)

    @pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="Linux alone has this file")
    @pytest.mark.parametrize("name", ["tokens", "manifest.json"])
    def test_an_error_of_the_disk_is_not_called_damage(self, folder, name):
        """The memory of a process is a file of which the first byte gives an I/O error."""
        path = self.shard(folder) if name == "tokens" else folder / name
        path.unlink()
        path.symlink_to("/proc/self/mem")
        with pytest.raises(StorageError, match="cannot be read: .*Input/output error"):
            TokenCache(folder).stream("train", 0)

    def test_what_cannot_be_read_now_is_not_called_damaged(self, folder, monkeypatch):
        import builtins

        real = builtins.open

        def refuse(path, *args, **options):
            if "/tokens/" in str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *args, **options)

        self.shard(folder).write_bytes(b"")  # any error of the read
        monkeypatch.setattr(builtins, "open", refuse)
        with pytest.raises(StorageError, match="cannot be read: .*Permission denied"):
            TokenCache(folder).stream("train", 0)


def test_writer_splits_into_shards_and_loses_nothing(tmp_path, monkeypatch):
    # in place of the 16M tokens of a real shard
    monkeypatch.setattr("hclx.data.cache_builder._SHARD", 1 << 17)
    draw = np.random.default_rng(0)
    documents = [draw.integers(2, 60_000, draw.integers(1, 20_000)) for _ in range(60)]
    writer = StreamWriter(tmp_path / "s", np.dtype(np.uint16), eod_id=1)
    for ids in documents:
        writer.append(ids)
    writer.close()
    expected = np.concatenate([*(np.concatenate([[1], ids]) for ids in documents), [1]])
    assert (_open(tmp_path / "s" / "tokens").read().result() == expected).all()
    folder = tmp_path / "s" / "tokens"
    sizes = list(_sizes(json.loads((folder / "zarr.json").read_text()), len(expected)))
    assert sizes == [os.path.getsize(folder / "c" / str(i)) for i in range(len(sizes))]
    assert len([p for p in (tmp_path / "s" / "tokens" / "c").rglob("*") if p.is_file()]) == -(
        -len(expected) // (1 << 17)
    )


def test_a_chunk_of_zeros_is_stored_like_any_other(tmp_path):
    writer = StreamWriter(tmp_path / "s", np.dtype(np.uint16), eod_id=0)
    writer.append(np.ones((1 << 16) - 1))  # so that the last end of a document has its own chunk
    writer.close()
    folder = tmp_path / "s" / "tokens"
    assert _open(folder).read().result()[[0, 1, -2, -1]].tolist() == [0, 1, 1, 0]
    (size,) = _sizes(json.loads((folder / "zarr.json").read_text()), writer.n_tokens)
    assert size == os.path.getsize(folder / "c" / "0")


def test_documents_are_read_in_order_and_counted(sample_texts):
    source, settings = (
        input_source(str(SAMPLE)),
        ReadSettings(validation_permille=200, max_documents=30),
    )
    read = functools.partial(source.documents, settings=settings, counts=None)
    assert [document.text for document in read("train")] == [
        t for t in sample_texts[:30] if settings.split_of(t) == "train"
    ]
