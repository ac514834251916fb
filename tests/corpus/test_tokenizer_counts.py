"""Chunk counts of a mixture: those of a plain counter, whoever counts, however often a run is
stopped; and the tokenizer of them.
"""

import gzip
import hashlib
import json
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hclx.corpus import tokenizer_counts
from hclx.corpus.layout import MIXTURE, Shard
from hclx.corpus.runner import make_runner
from hclx.corpus.store import Store
from hclx.corpus.tokenizer_counts import count_mixture, count_shard, train_on_mixture
from hclx.data.source import ReadSettings, input_source
from hclx.data.tokenizer_text import training_texts
from hclx.errors import ConfigError, DataError
from hclx.text import train_tokenizer
from hclx.text.documents import expand_globs, read_documents
from hclx.text.pretokenizers import shared_pretokenizer
from tests.helpers import generated_corpus
from tests.helpers.built_corpora import digest, times
from tests.helpers.commands import command, environment
from tests.helpers.killing import kill_when
from tests.helpers.unicode_samples import STRANGE

RATE, SEED = 0.6, 3


def write_file(folder: Path, name: str, texts: list[str]) -> None:
    """A file of a mixture, with the key of its content; lone surrogates are escaped."""
    content = "".join(
        json.dumps({"doc_id": f"{name}:{i}", "text": text}) + "\n" for i, text in enumerate(texts)
    ).encode()
    (folder / "mixture" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "mixture" / f"{name}.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
    Store(str(folder)).write_json(
        f"mixture/{name}.done.json", {"documents": len(texts)}, hashlib.sha256(content).hexdigest()
    )


def mixture(folder: Path, files: dict[str, list[str]]) -> Store:
    """A corpus that has nothing but a mixture."""
    for name, texts in files.items():
        write_file(folder, name, texts)
    sources = {name.split("/")[0]: [] for name in files}
    for name in files:
        sources[name.split("/")[0]].append(f"{name}.jsonl.gz")
    store = Store(str(folder))
    store.write_json(
        MIXTURE,
        {"sources": {name: {"rate": 1.0, "epochs": 2.0} for name in sources}, "files": sources},
    )
    return store


def texts_of_files() -> dict[str, list[str]]:
    rng = random.Random(0)
    articles = [generated_corpus.article(rng) for _ in range(30)]
    return {
        "news/00000-00000": articles[:12],
        "news/00000-00001": [*articles[12:20], "", articles[0]],
        "talk/00000-00000": [text for text in STRANGE if text],
        "talk/00001-00000": [],
        "talk/00002-00000": [*articles[20:], "ㄱㄴㄷ ㅏㅑㅓ ㅋㅋㅋㅋ", "끝에 \ud800 홀로"],
    }


@pytest.fixture()
def store(tmp_path):
    return mixture(tmp_path / "corpus", texts_of_files())


def sampled(texts, rate, seed):
    """By the definition of the sample: the first 64 bits of SHA-256 of the seed, a space and the
    text.
    """
    for text in texts:
        digest = hashlib.sha256(
            f"{seed} ".encode() + text.encode("utf-8", "surrogatepass")
        ).hexdigest()
        if text and int(digest[:16], 16) / 2**64 < rate:
            yield text


def by_hand(files: dict[str, list[str]], morphemes="none", rate=RATE, seed=SEED) -> Counter:
    pretokenizer = shared_pretokenizer(morphemes)
    return Counter(
        chunk
        for texts in files.values()
        for text in sampled(texts, rate, seed)
        for chunk in pretokenizer.split(text)
    )


def counted(store, workers=1, morphemes="none", rate=RATE, seed=SEED, totals=None, runner=None):
    return count_mixture(
        store,
        runner or make_runner(workers=workers),
        morphemes,
        rate,
        seed,
        Counter() if totals is None else totals,
    )


class Idle:
    """A runner for which there must be nothing to do."""

    def map(self, *_):
        raise AssertionError("something is counted")

    map_reduce = map


@pytest.mark.parametrize("morphemes", ["none", "merges"])
def test_the_counts_are_those_of_a_plain_counter(store, morphemes):
    files, totals = texts_of_files(), Counter()
    assert counted(store, morphemes=morphemes, totals=totals) == by_hand(files, morphemes)
    every = [text for texts in files.values() for text in texts if text]
    chosen = [text for texts in files.values() for text in sampled(texts, RATE, SEED)]
    assert totals == {
        "seen": len(every),
        "documents": len(chosen),
        "bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in chosen),
    }
    assert 0.4 * len(every) < len(chosen) < 0.8 * len(every)


def test_each_chunk_is_in_one_partition_in_the_order_of_its_bytes(store):
    counted(store, rate=1.0)
    tables = [store.read_table(f"counts/{i:05d}.parquet") for i in range(len(texts_of_files()))]
    columns = [table["chunk"].to_pylist() for table in tables]
    assert all(column == sorted(set(column)) for column in columns) and sum(map(bool, columns)) > 2
    every = {
        chunk.encode("utf-8", "surrogatepass") for chunk in by_hand(texts_of_files(), rate=1.0)
    }
    assert sum(map(len, columns)) == len(every) and set().union(*columns) == every
    # lone surrogates, a family, jamo
    assert {
        b"\xed\xa0\x80",
        b" \xed\xbf\xbf",
        " 👨‍👩‍👧‍👦".encode(),
        " ㅋㅋㅋㅋ".encode(),
    } <= every


def test_workers_do_not_change_a_byte(store, tmp_path):
    other = mixture(tmp_path / "other", texts_of_files())
    assert counted(store, workers=1) == counted(other, workers=2)
    assert digest(Path(store.root)) == digest(Path(other.root))


def test_a_corpus_may_be_named_by_its_address(store, tmp_path):
    local = counted(store)
    other = mixture(tmp_path / "other", texts_of_files())
    assert counted(Store(f"file://{other.root}")) == local and digest(Path(other.root)) == digest(
        Path(store.root)
    )


@pytest.mark.parametrize("morphemes", ["none", "merges_and_text"])
def test_the_tokenizer_is_the_one_of_the_mixtures_files(store, tmp_path, morphemes):
    options = {"vocab_size": 512, "morphemes": morphemes, "sample_rate": RATE, "seed": SEED}
    made = train_on_mixture(store, tmp_path / "one", make_runner(workers=1), **options)
    documents = read_documents(expand_globs(f"{store.root}/mixture/*/*.jsonl.gz"))
    expected = train_tokenizer(
        (document.text for document in documents), tmp_path / "other", **options
    )
    assert (
        digest(tmp_path / "one") == digest(tmp_path / "other")
        and made.metadata == expected.metadata
    )
    assert made.metadata["documents"] > 20


def test_documents_to_validate_on_do_not_count(store, tmp_path):
    options = {"vocab_size": 512, "morphemes": "none", "sample_rate": RATE, "seed": SEED}
    made = train_on_mixture(
        store, tmp_path / "one", make_runner(workers=1), validation_permille=300, **options
    )
    sources = [input_source(f"{store.root}/mixture/*/*.jsonl.gz")]
    expected = train_tokenizer(
        training_texts(sources, ReadSettings(300), "text"), tmp_path / "other", **options
    )
    assert digest(tmp_path / "one") == digest(tmp_path / "other")
    every = train_on_mixture(store, tmp_path / "all", make_runner(workers=1), **options)
    assert made.metadata["documents"] < every.metadata["documents"]
    assert made.metadata == expected.metadata


def test_what_was_counted_is_counted_once(store, tmp_path):
    options = {"morphemes": "merges", "sample_rate": RATE, "seed": SEED}
    train_on_mixture(store, tmp_path / "one", make_runner(workers=1), vocab_size=512, **options)
    before = times(Path(store.root))
    train_on_mixture(store, tmp_path / "two", Idle(), vocab_size=640, **options)
    train_on_mixture(
        store,
        tmp_path / "three",
        Idle(),
        vocab_size=512,
        **{**options, "morphemes": "merges_and_text"},
    )
    assert times(Path(store.root)) == before


def test_a_run_that_was_interrupted_goes_on(store):
    expected = counted(store)
    root, before, content = Path(store.root), times(Path(store.root)), digest(Path(store.root))
    gone = [
        "counts/00002.parquet",
        "counts/news/00000-00000.json",
        "counts/talk/00000-00000.parquet",
    ]
    for name in gone:
        (root / name).unlink()
    (root / "counts/news/00000-00001.parquet.1234.tmp").write_bytes(
        b"left by a process that was killed"
    )
    assert counted(store, workers=2) == expected and digest(root) == content
    again = {name for name, time in times(root).items() if before[name] != time}
    partitions = {name for name in content if name.startswith("counts/0")}
    files = {
        "counts/news/00000-00000.json",
        "counts/news/00000-00000.parquet",
        "counts/talk/00000-00000.json",
        "counts/talk/00000-00000.parquet",
    }
    assert again == partitions | files and len(partitions) == 5


def test_going_back_to_a_rate_after_a_run_that_was_killed_takes_no_counts_of_the_other(store):
    expected = counted(store)
    metadata = {path: path.read_bytes() for path in Path(store.root).glob("counts/*/*.json")}
    partitions = {path: path.read_bytes() for path in Path(store.root).glob("counts/*.parquet")}
    counted(store, rate=0.2)
    # as where it was killed just before it wrote these
    for path, content in (metadata | partitions).items():
        path.write_bytes(content)
    next(iter(partitions)).unlink()
    assert counted(store) == expected


@pytest.mark.parametrize("change", [{"rate": 0.3}, {"seed": 4}, {"morphemes": "merges"}])
def test_another_sample_or_cutter_counts_anew(store, tmp_path, change):
    before = counted(store)
    changed = counted(store, **change)
    assert changed == by_hand(texts_of_files(), **change) and changed != before
    counted(fresh := mixture(tmp_path / "fresh", texts_of_files()), **change)
    assert digest(Path(store.root)) == digest(Path(fresh.root))


def test_a_changed_mixture_counts_what_changed(store, tmp_path):
    counted(store)
    before, files = times(Path(store.root)), texts_of_files()
    del files["talk/00002-00000"]
    files["news/00000-00001"] = ["새 글이 하나 들어왔다."] * 3 + [
        "다른 글도 들어왔다.",
        "끝으로 하나 더.",
    ]
    counted(mixture(Path(store.root), files), rate=RATE)
    for name in (".jsonl.gz", ".done.json"):
        (Path(store.root) / f"mixture/talk/00002-00000{name}").unlink()
    counted(fresh := mixture(tmp_path / "fresh", files))
    assert digest(Path(store.root)) == digest(Path(fresh.root))
    again = {
        name
        for name, time in times(Path(store.root)).items()
        if before.get(name) != time and name.startswith("counts/") and name.count("/") == 2
    }
    assert again == {"counts/news/00000-00001.parquet", "counts/news/00000-00001.json"}


def test_a_file_that_was_taken_away_takes_its_counts_with_it(store):
    counted(store)
    files = texts_of_files()
    del files["talk/00000-00000"]
    assert counted(mixture(Path(store.root), files)) == by_hand(files)
    names = store.list("counts")
    assert len(names) == 3 * len(files) and not [name for name in names if "talk/00000" in name]


def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(store, tmp_path):
    other = mixture(tmp_path / "other", texts_of_files())
    call = lambda folder: command(
        "train_tokenizer.py",
        f"--corpus={folder}",
        f"--output_dir={tmp_path / 't'}",
        "--vocab_size=512",
        "--morphemes=none",
        "--workers=1",
    )
    process = subprocess.Popen(
        call(store.root),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    kill_when(process, Path(store.root) / "counts" / "news", 0)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "t").exists()
    assert len(list(Path(store.root).glob("counts/*.parquet"))) < len(texts_of_files())
    assert counted(store, rate=1.0, seed=0) == counted(other, rate=1.0, seed=0)
    assert digest(Path(store.root)) == digest(Path(other.root))


def test_what_cannot_be_counted_is_refused(store, tmp_path):
    with pytest.raises(
        DataError,
        match=("none/mixture/mixture.json cannot be read; make the mixture with hclx build_corpus"),
    ):
        counted(Store(str(tmp_path / "none")), runner=Idle())
    assert not (tmp_path / "none").exists()
    broken = Path(store.root) / "mixture/news/00000-00001"
    whole = broken.with_suffix(".jsonl.gz").read_bytes()
    for content in (
        whole[: len(whole) // 2],
        gzip.compress(b"{}\n"),
        gzip.compress(b"no JSON\n"),
        gzip.compress(b'{"text": "\xff"}\n'),
    ):
        broken.with_suffix(".jsonl.gz").write_bytes(content)
        with pytest.raises(
            DataError,
            match=(
                r"mixture/news/00000-00001.jsonl.gz cannot be read \(.*\); remove its .done.json"
                r" and run"
            ),
        ):
            counted(store)
    assert not list(Path(store.root).glob("counts/*.parquet"))
    broken.with_suffix(".done.json").unlink()
    with pytest.raises(
        DataError, match="00000-00001.done.json cannot be read; run hclx build_corpus again"
    ):
        counted(store, runner=Idle())


def test_values_are_checked_before_anything_is_counted(store, tmp_path):
    options = {"vocab_size": 512, "morphemes": "none", "sample_rate": RATE, "seed": SEED}
    for change, message in [
        ({"vocab_size": 500}, "multiple of 128"),
        ({"sample_rate": 1.5}, "sample_rate=1.5 is not in"),
        ({"morphemes": "words"}, "morphemes='words'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            train_on_mixture(store, tmp_path / "t", Idle(), **{**options, **change})
    train_on_mixture(store, tmp_path / "t", make_runner(workers=1), **options)
    with pytest.raises(ConfigError, match="already holds a tokenizer"):
        train_on_mixture(store, tmp_path / "t", Idle(), **options)
    nothing = {**options, "sample_rate": 1e-9}  # all are counted instead
    every = train_on_mixture(store, tmp_path / "u", make_runner(workers=1), **nothing)
    assert every.metadata["documents"] == 46
    options |= {"vocab_size": 8192, "sample_rate": 1.0}
    with pytest.raises(DataError, match="too little text for vocab_size=8192"):
        train_on_mixture(store, tmp_path / "v", make_runner(workers=1), **options)
    shrunk = train_on_mixture(
        store, tmp_path / "v", make_runner(workers=1), may_shrink=True, **options
    )
    assert 512 <= shrunk.vocab_size < 8192


def test_a_worker_with_another_cutter_is_refused(store):
    shard = Shard("news/00000-00000", 0)
    with pytest.raises(
        ConfigError,
        match=(
            "a worker splits text with eojeol 1, and this command with eojeol 2; install one"
            " version everywhere"
        ),
    ):
        count_shard(
            shard,
            store=store,
            keys={shard.name: "key"},
            morphemes="none",
            pretokenizer="eojeol 2",
            sample_rate=1.0,
            seed=0,
        )
    assert not (Path(store.root) / "counts").exists()


def test_a_worker_holds_the_counts_of_one_file(store, monkeypatch):
    """Each file is read by a call of its own, and what it leaves is on the disk before the next is
    read.
    """
    seen = []
    monkeypatch.setattr(
        tokenizer_counts,
        "_texts",
        lambda shard, store, read=tokenizer_counts._texts: (
            seen.append((shard.name, len(list(Path(store.root).glob("counts/*/*.json")))))
            or read(shard, store)
        ),
    )
    counted(store)
    assert sorted(name for name, _ in seen) == sorted(texts_of_files()) and [
        n for _, n in seen
    ] == list(range(5))
