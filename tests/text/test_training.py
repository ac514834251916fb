"""Training of the tokenizer: what it may learn, that it repeats, how much memory it takes, what it
refuses.
"""

import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hclx.errors import ConfigError, DataError
from hclx.text import load_tokenizer, train_tokenizer
from hclx.text.new_folder import new_folder
from hclx.text.pretokenizers import MODE_OF, pretokenizer_identity, shared_pretokenizer
from hclx.text.tokenizer import CONTROL_SYMBOLS
from hclx.text.trained_before import trained_before
from hclx.text.training import count_chunks, sample, train_from_counts
from tests.helpers.commands import environment


@pytest.mark.parametrize("morphemes", MODE_OF)
def test_no_learnt_token_crosses_a_chunk(tokenizers, sample_texts, morphemes):
    """Every learnt token lies inside a chunk of the training text: none could be learnt across a
    morpheme.
    """
    pretokenizer = shared_pretokenizer(morphemes)
    # 0xFF is in no UTF-8
    chunks = b"\xff".join(
        {chunk.encode() for text in sample_texts for chunk in pretokenizer.split(text)}
    )
    tokens = [
        tokenizers[MODE_OF[morphemes]].decode_bytes([i]) for i in range(len(CONTROL_SYMBOLS), 1024)
    ]
    learnt = [token for token in tokens if len(token) > 1]
    assert len(learnt) > 600
    assert [token for token in learnt if token not in chunks] == []


def test_ordinary_bpe_does_learn_across_morphemes(tokenizers, sample_texts):
    """The check above can fail: tokens of ordinary BPE do cross morphemes."""
    pretokenizer = shared_pretokenizer("merges")
    chunks = b"\xff".join(
        {chunk.encode() for text in sample_texts for chunk in pretokenizer.split(text)}
    )
    assert any(
        tokenizers["plain"].decode_bytes([i]) not in chunks
        for i in range(len(CONTROL_SYMBOLS) + 256, 1024)
    )


def test_first_merges_are_those_of_a_brute_force_bpe(tokenizers, sample_texts):
    """Byte-level BPE by its definition (Sennrich et al. 2016): the most frequent pair, again and
    again.
    """
    words = Counter(
        chunk for text in sample_texts for chunk in shared_pretokenizer("none").split(text)
    )
    symbols = {word: [bytes([b]) for b in word.encode()] for word in words}
    for i in range(len(CONTROL_SYMBOLS), len(CONTROL_SYMBOLS) + 25):
        pairs = Counter()
        for word, parts in symbols.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        learnt = tokenizers["plain"].decode_bytes([i])
        most = max(pairs.values())
        # more than one at a tie
        candidates = {b"".join(pair): pair for pair, count in pairs.items() if count == most}
        assert learnt in candidates
        best = candidates[learnt]
        for word, parts in symbols.items():
            symbols[word] = _merge(parts, best)


def _merge(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    merged = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def test_encoding_is_a_brute_force_bpe(tokenizers, sample_texts):
    """Of all neighbours that make a token, the token of the lowest id is merged first, the leftmost
    of them.
    """
    tokenizer = tokenizers["train"]
    ids = {
        tokenizer.decode_bytes([i]): i for i in range(len(CONTROL_SYMBOLS), tokenizer.vocab_size)
    }
    for text in sample_texts[:3]:
        parts = [bytes([b]) for b in text[:200].encode()]
        while candidates := [
            (ids[a + b], at) for at, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in ids
        ]:
            _, at = min(candidates)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        assert tokenizer.encode(text[:200]) == [ids[part] for part in parts]


def test_workers_and_order_of_work_do_not_change_the_counts(sample_texts):
    texts = sample_texts * 2
    assert count_chunks(texts, "merges", workers=2) == count_chunks(texts, "merges", workers=1)


def test_a_process_may_change_from_one_pretokenizer_to_the_other(sample_texts):
    """A worker keeps the analyser that it has loaded, and must not take it for another setting."""
    for morphemes in ("none", "merges", "none", "merges_and_text"):
        pretokenizer = shared_pretokenizer(morphemes)
        assert count_chunks(sample_texts[:2], morphemes, workers=1) == Counter(
            chunk for text in sample_texts[:2] for chunk in pretokenizer.split(text)
        )
        assert pretokenizer_identity(morphemes) == pretokenizer.identity


def test_the_order_of_counts_does_not_decide_ties(sample_texts):
    """All counts are equal, so that nothing but ties decides which pairs are merged."""
    counts = [(chunk, 2) for chunk in count_chunks(sample_texts, "none", workers=1)]
    models = [
        train_from_counts(Counter(dict(order)), 512)
        for order in (counts, counts[::-1], random.Random(0).sample(counts, len(counts)))
    ]
    assert models[0] == models[1] == models[2]


def test_training_repeats_bit_for_bit(tmp_path, sample_texts):
    models = [
        train_tokenizer(sample_texts, tmp_path / name, vocab_size=512, morphemes="none").model
        for name in "ab"
    ]
    assert models[0] == models[1]


def test_the_older_name_of_the_setting_is_still_read(tmp_path, sample_texts, caplog):
    old = train_tokenizer(sample_texts, tmp_path / "old", vocab_size=512, mode="plain")
    assert [record.getMessage() for record in caplog.records] == [
        "mode=plain is the old name of morphemes=none"
    ]
    new = train_tokenizer(sample_texts, tmp_path / "new", vocab_size=512, morphemes="none")
    assert old.metadata == new.metadata and new.metadata["mode"] == "plain"
    assert new.morphemes == "none" and old.fingerprint == new.fingerprint


def test_sample_rate_takes_a_share_by_hash(tmp_path, sample_texts):
    texts = [f"{text} {i}" for i in range(6) for text in sample_texts]
    metadata = train_tokenizer(
        texts, tmp_path / "t", vocab_size=512, morphemes="none", sample_rate=0.5, seed=3
    ).metadata
    assert 0.4 * len(texts) < metadata["documents"] < 0.6 * len(texts)
    again = train_tokenizer(
        reversed(texts), tmp_path / "u", vocab_size=512, morphemes="none", sample_rate=0.5, seed=3
    ).metadata
    assert again["documents"] == metadata["documents"] and again["bytes"] == metadata["bytes"]


def test_a_text_is_in_the_sample_or_not_whatever_stands_around_it(sample_texts):
    texts = [f"{text} {i}" for i in range(6) for text in sample_texts]
    mixed = random.Random(0).sample(texts, len(texts))
    chosen = lambda some, rate=0.4, seed=3: set(sample(some, rate, seed, Counter()))
    assert chosen(texts) == chosen(mixed) == chosen(texts[:20]) | chosen(texts[20:])
    assert chosen(texts, rate=0.2) < chosen(texts) and chosen(texts, rate=1.0) == set(texts)
    assert 0.2 * len(texts) < len(chosen(texts, seed=4) - chosen(texts)) + len(
        chosen(texts) - chosen(texts, seed=4)
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"vocab_size": 1000}, "multiple of 128"),
        ({"vocab_size": 128}, "at least 384"),
        ({"vocab_size": 512, "morphemes": "train"}, "morphemes='train' is not one of merges"),
        ({"vocab_size": 512, "mode": "morpheme"}, "mode='morpheme'"),
        ({"vocab_size": 512, "sample_rate": 0.0}, "sample_rate"),
    ],
)
def test_bad_values_are_refused(tmp_path, sample_texts, options, message):
    with pytest.raises(ConfigError, match=message):
        train_tokenizer(sample_texts, tmp_path / "t", **options)
    assert list(tmp_path.iterdir()) == []


def test_without_the_analyser_the_extra_that_has_it_is_named(tmp_path, sample_texts, monkeypatch):
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(ConfigError, match=r"kiwipiepy is not installed.*'hclx\[data\]'"):
        train_tokenizer(sample_texts, tmp_path / "t", vocab_size=512, workers=2)
    assert train_tokenizer(sample_texts, tmp_path / "u", vocab_size=512, morphemes="none")


def test_too_little_text_names_the_vocabulary_that_would_work(tmp_path, sample_texts):
    options, texts = {"vocab_size": 16384, "morphemes": "none"}, sample_texts[:10]
    with pytest.raises(
        DataError, match="KB are too little text for vocab_size=16384; at most"
    ) as e:
        train_tokenizer(texts, tmp_path / "t", **options)
    largest = int(re.search(r"at most (\d+) would work", str(e.value))[1])
    for may_shrink in (False, True):
        short = r"^17 bytes are too little text for vocab_size=16384; give more text$"
        with pytest.raises(DataError, match=short):
            train_tokenizer(["아주 짧은 글"], tmp_path / "t", may_shrink=may_shrink, **options)
        with pytest.raises(DataError, match="no text to train on"):
            train_tokenizer([], tmp_path / "t", may_shrink=may_shrink, **options)
    assert list(tmp_path.iterdir()) == []
    shrunk = train_tokenizer(texts, tmp_path / "t", may_shrink=True, **options)
    named = train_tokenizer(texts, tmp_path / "u", **options | {"vocab_size": largest})
    assert shrunk.vocab_size == largest == shrunk.metadata["vocab_size"] > 1024
    assert shrunk.model == named.model and shrunk.fingerprint == named.fingerprint
    assert shrunk.metadata == named.metadata | {"requested_vocab_size": 16384}


@pytest.mark.parametrize("rate", [1e-9, 0.1])
def test_of_few_documents_all_are_counted_if_their_sample_is_too_little(
    rate, tmp_path, sample_texts, caplog
):
    options = {"vocab_size": 1024, "morphemes": "none"}
    texts = ["\n".join(sample_texts[i::10]) for i in range(10)]
    every = train_tokenizer(texts, tmp_path / "all", **options)
    few = train_tokenizer(texts, tmp_path / "few", sample_rate=rate, seed=1, **options)
    assert few.model == every.model
    # what was asked for is recorded: the same command finds its own tokenizer
    assert few.metadata == every.metadata | {"sample_rate": rate, "seed": 1}
    (message,) = caplog.messages
    assert re.search(
        "the sample, [01] of 10 documents, is too little text.*: all are counted", message
    )
    with pytest.raises(DataError, match="too little text"):
        train_tokenizer(iter(texts), tmp_path / "t", sample_rate=rate, seed=1, **options)


def test_a_folder_that_is_taken_is_left_alone(tokenizer_dirs, sample_texts):
    before = load_tokenizer(tokenizer_dirs["train"]).model
    with pytest.raises(ConfigError, match="already holds a tokenizer"):
        train_tokenizer(sample_texts, tokenizer_dirs["train"], vocab_size=512)
    assert load_tokenizer(tokenizer_dirs["train"]).model == before


def test_a_folder_that_holds_something_else_is_refused_before_the_work(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "notes.txt").write_text("")
    with pytest.raises(ConfigError, match="no empty folder"):
        train_tokenizer(never_read(), tmp_path / "t", vocab_size=512)
    with pytest.raises(ConfigError, match="no empty folder"):
        train_tokenizer(never_read(), tmp_path / "t" / "notes.txt", vocab_size=512)


def never_read():
    raise AssertionError("the text was read")
    yield


def test_of_two_starts_the_second_takes_the_tokenizer_of_the_first_if_it_is_the_same(
    tmp_path, sample_texts
):
    """The other start finishes while this one reads its text."""
    options = {"vocab_size": 512, "morphemes": "none", "workers": 1}

    def texts(folder, other):
        yield from sample_texts
        train_tokenizer(sample_texts, folder, **options | other)

    same = train_tokenizer(texts(tmp_path / "a", {}), tmp_path / "a", **options)
    assert same.metadata == load_tokenizer(tmp_path / "a").metadata
    with pytest.raises(ConfigError, match="made by another process, from other text or"):
        train_tokenizer(texts(tmp_path / "b", {"vocab_size": 640}), tmp_path / "b", **options)
    assert load_tokenizer(tmp_path / "b").vocab_size == 640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path):
    code = "import sys, time; from pathlib import Path; from hclx.text.new_folder import new_folder"
    code += "\nwith new_folder(Path(sys.argv[1])) as folder: print(folder, flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "t")]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    options["env"] = environment()
    with (
        subprocess.Popen(command, **options) as killed,
        subprocess.Popen(command, **options) as other,
    ):
        left, written = (Path(process.stdout.readline().strip()) for process in (killed, other))
        killed.kill()
        killed.wait()
        assert left.exists() and written.exists()
        with new_folder(tmp_path / "t"):
            assert not left.exists() and written.exists()
        other.communicate("\n")
    assert other.returncode == 0 and [path.name for path in tmp_path.iterdir()] == ["t"]


_TRAIN_51200 = """
import json, re, sys
from hclx.text.training import train_from_counts
model = train_from_counts(json.load(open(sys.argv[1])), 51200)
open(sys.argv[2], "wb").write(model)
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.long
@pytest.mark.parametrize("morphemes", ["none", "merges"])
def test_51200_tokens_from_50_megabytes_take_less_than_a_gigabyte(data_dir, tmp_path, morphemes):
    """Splitting at morphemes takes minutes here and gives a third of the chunks that splitting at
    spaces does, so the default run tests the harder case.
    """
    import sentencepiece

    from hclx.text.documents import expand_globs, read_documents

    paths = expand_globs(str(data_dir / "corpus" / "kowiki" / "*.jsonl.gz"))
    sizes = itertools.accumulate(len(d.text.encode()) for d in read_documents(paths))
    n = sum(1 for _ in itertools.takewhile(lambda size: size < 50_000_000, sizes)) + 1
    counts = count_chunks((d.text for d in itertools.islice(read_documents(paths), n)), morphemes)
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    command = [
        sys.executable,
        "-c",
        _TRAIN_51200,
        str(tmp_path / "counts.json"),
        str(tmp_path / "model"),
    ]
    peak = 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak < 1e9
    assert (
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "model")).get_piece_size()
        == 51_200
    )


def test_a_tokenizer_of_the_same_settings_is_known_again(tmp_path, sample_texts):
    wish = {"vocab_size": 65_536, "morphemes": "none", "sample_rate": 1.0, "seed": 0}
    assert trained_before(str(tmp_path / "t"), **wish) is None
    made = train_tokenizer(sample_texts[:3], tmp_path / "t", may_shrink=True, **wish)
    for same in ({}, {"vocab_size": made.vocab_size}):  # it is smaller than was asked for
        again = trained_before(str(tmp_path / "t"), **wish | same)
        assert again.fingerprint == made.fingerprint
    for other in ({"vocab_size": 512}, {"morphemes": "merges"}, {"sample_rate": 0.5}, {"seed": 1}):
        assert trained_before(str(tmp_path / "t"), **wish | other) is None
