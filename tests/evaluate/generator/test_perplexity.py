"""Perplexity against transformers, closed formulas and the definition of windows."""

import json
import math

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError, DataError
from hclx.evaluate.generator.perplexity import (
    FIGURES,
    Measured,
    Windows,
    measure,
    summary,
    table,
    windows_of,
)
from hclx.evaluate.generator.perplexity_files import TextFiles, measure_files
from hclx.evaluate.item_prompts import Reader
from hclx.text.records import Document
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.decoder import drawn_params
from tests.helpers.engines import engine_of

KOREAN = "눈이 그친 아침, 우체부는 언덕 위의 집까지 걸어 올라가 편지 한 통을 두고 왔다.\n"
REVIEW = "배우가 좋아서 두 번 봤어요!"


@pytest.mark.parametrize("begin, begins_all", [((9,), False), ((9,), True), ((8, 9), True)])
@pytest.mark.parametrize("stride", [1, 3, 7, 8])
@pytest.mark.parametrize("n", [0, 1, 6, 7, 8, 9, 23, 40])
def test_each_token_is_scored_once_with_enough_before_it(n, stride, begin, begins_all):
    windows = Windows(8, stride, begin, begins_all)
    ids = list(range(100, 100 + n))
    requests = list(windows.of(ids))
    assert [token for request in requests for token in request.continuation] == ids
    position = 0
    for number, request in enumerate(requests):
        size, context = len(request.continuation), list(request.context)
        assert 1 <= len(context) and len(context) + size <= 8
        before = [*begin, *ids][: len(begin) + position]
        if begins_all:
            assert context[: len(begin)] == list(begin)
            context, before = context[len(begin) :], before[len(begin) :]
        assert context == before[len(before) - len(context) :]
        if number:
            assert size <= stride
            # As many as fit; all windows but the last are as long as they may be.
            assert len(request.context) == 8 - size >= min(8 - stride, 7)
        position += size


def test_a_stride_of_the_whole_length_gives_disjoint_windows():
    requests = list(Windows(4, 4, (9,)).of([1, 2, 3, 4, 5, 6, 7, 8]))
    pairs = [(request.context, request.continuation) for request in requests]
    # The last window has as much before it as fits, as in lm-evaluation-harness.
    assert pairs == [((9,), (1, 2, 3)), ((3,), (4, 5, 6)), ((5, 6), (7, 8))]


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_that_skips_tokens_or_stands_still_is_refused(stride):
    with pytest.raises(ConfigError, match=f"stride={stride} is out of range: give 1 to 8"):
        Windows(8, stride, (1,))


def test_no_room_behind_the_beginning():
    with pytest.raises(ConfigError, match="leaves no room behind the 2 tokens"):
        Windows(2, 1, (1, 2))


class WithoutBeginning(ByteTokenizer):
    begin_ids = []


def test_the_rule_of_the_beginning():
    windows, rule = windows_of(Reader(ByteTokenizer(256), 64, (5,)))
    assert windows.begin == (5,) and windows.stride == 32 and rule.startswith("begin_ids")
    windows, rule = windows_of(Reader(WithoutBeginning(256), 64, ()))
    assert windows.begin == (1,) and rule.startswith("eod_id")


def reader(max_length=64):
    return Reader(ByteTokenizer(256), max_length, (1,))


CONFIG = ModelConfig(n_layers=1, d_model=16, n_heads=2, vocab_size=256, max_length=64)


@pytest.fixture(scope="module")
def uniform_engine():
    """A model whose weights are 0, for which all 256 tokens are alike."""
    params = jax.tree.map(lambda x: x * 0, drawn_params(CONFIG))
    with engine_of(params, CONFIG, ByteTokenizer(256), rows=4) as engine:
        yield engine


def test_a_model_that_knows_nothing_needs_eight_bits_for_each_byte(uniform_engine):
    windows, _ = windows_of(reader(), stride=16)
    texts = [KOREAN * 3, REVIEW, "a"]
    documents = [Document(text, "f.txt", i) for i, text in enumerate(texts)]
    measured = list(measure(uniform_engine, reader(), windows, documents))
    for text, row in zip(texts, measured, strict=True):
        n = len(text.encode())
        assert (row.tokens, row.bytes, row.characters) == (n, n, len(text)) and row.is_kept
        assert row.words == len(text.split())
    result = summary(measured)
    text = "".join(texts)
    assert result["bits_per_byte"]["value"] == pytest.approx(8, abs=1e-5)
    expected = 8 * len(text.encode()) / len(text)
    assert result["bits_per_character"]["value"] == pytest.approx(expected, rel=1e-6)
    assert result["perplexity_per_token"]["value"] == pytest.approx(256, rel=1e-5)


@pytest.mark.parametrize("stride, begins_all", [(512, False), (100, True)])
def test_the_sums_are_those_of_transformers(stride, begins_all, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.helpers.transformers_oracle import LENGTH, make_oracle

    oracle = make_oracle("llama head_dim", tmp_path)
    text = "".join(chr(c) for c in np.random.default_rng(0).integers(40, 120, 700))
    documents = [Document(text, "f.txt", 1), Document(text[:50], "f.txt", 2)]
    model = Reader(ByteTokenizer(128), LENGTH, (1,))
    windows, _ = windows_of(model, stride, begins_all)
    with engine_of(oracle.params, oracle.config, ByteTokenizer(128), rows=2) as engine:
        whole, short = measure(engine, model, windows, documents)
    ids = list(text.encode())
    rows = oracle.logprobs([1, *ids[:50]])
    expected = -sum(rows[i][token] for i, token in enumerate(ids[:50]))
    assert short.nats == pytest.approx(expected, abs=2e-3)
    assert whole.nats == pytest.approx(strided(oracle, ids, LENGTH, stride, begins_all), abs=0.02)


def strided(oracle, ids, length, stride, begins_all):
    """The sum by the definition: the tokens of each window, and how much of it was read before."""
    sequence, nats = [1, *ids], 0.0
    end, done = min(length, len(sequence)), 1
    step = min(stride, length - 1)
    while True:
        window = sequence[max(0, end - length) : end]
        if begins_all and end > length:
            window = [1, *window[1:]]
        rows = oracle.logprobs(window)
        n = end - done
        nats -= sum(rows[i - 1][window[i]] for i in range(len(window) - n, len(window)))
        if end == len(sequence):
            return nats
        done, end = end, min(end + step, len(sequence))


def rows_of(nats, n_bytes):
    return [Measured("f", x, 10, n, 10, 5, True) for x, n in zip(nats, n_bytes)]


def test_the_interval_of_documents_of_one_length_is_that_of_their_mean():
    nats = np.random.default_rng(0).normal(100, 20, 400)
    result = summary(rows_of(nats, [50] * 400))["bits_per_byte"]
    bits = nats / math.log(2) / 50
    assert result["value"] == pytest.approx(bits.mean())
    half = 1.96 * bits.std(ddof=1) / 20
    np.testing.assert_allclose(
        result["interval"], [bits.mean() - half, bits.mean() + half], atol=half / 5
    )


def test_long_documents_count_by_their_length():
    result = summary(rows_of([8 * math.log(2) * 10, 0.0], [10, 30]))
    assert result["bits_per_byte"]["value"] == pytest.approx(2)
    low, high = result["bits_per_byte"]["interval"]
    assert low == 0 and high == pytest.approx(8)


def test_one_document_has_no_interval_and_no_words_no_perplexity_of_words():
    result = summary([Measured("f", 3.0, 2, 4, 4, 0, False)])
    assert all(result[figure]["interval"] is None for figure in FIGURES)
    assert result["perplexity_per_word"]["value"] is None and result["not_kept"] == 1
    assert "nan" in table([{"path": "f", **result}], result)


def test_files_of_several_kinds(uniform_engine, tmp_path, capsys):
    import gzip

    (tmp_path / "a.txt").write_text(KOREAN + "\n\n" + REVIEW, encoding="utf-8")
    lines = [json.dumps({"text": text}) for text in (KOREAN, REVIEW, "", KOREAN)]
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    files = TextFiles.of(str(tmp_path / "*"), split="blank_line", max_documents=2)
    windows, _ = windows_of(reader())
    results = measure_files(uniform_engine, reader(), windows, files)
    assert [file["documents"] for file in results["files"]] == [2, 2]
    assert results["total"]["documents"] == 4 and results["total"]["not_kept"] == 0
    n = 2 * len((KOREAN + REVIEW).encode()) - 1  # the newline at the end of a paragraph
    assert results["total"]["bytes"] == n
    assert results["schema"] == "hclx.perplexity/1" and results["stride"] == 32
    printed = capsys.readouterr().out
    assert "a.txt" in printed and "8.0000" in printed and "\nall" in printed


def test_files_without_a_document_are_refused(uniform_engine, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    windows, _ = windows_of(reader())
    with pytest.raises(DataError, match="no document has a text"):
        measure_files(uniform_engine, reader(), windows, TextFiles.of(str(tmp_path)))


def test_a_line_that_is_no_document_ends_all_before_the_first_is_scored(tmp_path):
    class NoEngine:
        def submit(self, request):
            raise AssertionError("a window is scored")

    (tmp_path / "a.jsonl").write_text('{"text": "ok"}\n' * 200 + "{}\n")
    files = TextFiles.of(str(tmp_path))
    with pytest.raises(DataError, match="a.jsonl:201: no string field"):
        measure_files(NoEngine(), reader(), windows_of(reader())[0], files)


class EndingEngine:
    """Another engine, which ends with an error at one of its windows."""

    def __init__(self, engine, n_windows):
        self._engine, self.n_left = engine, n_windows

    def submit(self, request):
        self.n_left -= 1
        if self.n_left < 0:
            raise KeyboardInterrupt
        return self._engine.submit(request)


@pytest.fixture
def two_files(tmp_path):
    for name, count in ("a", 30), ("b", 40):
        texts = [f"{REVIEW} {name}{n}" * (1 + n % 5) for n in range(count)]
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return TextFiles.of(str(tmp_path / "*.jsonl"))


@pytest.mark.parametrize("half", ["", '{"path": "b.js'])
def test_a_command_that_was_killed_goes_on_to_the_same_figures(
    uniform_engine, two_files, tmp_path, half
):
    windows, _ = windows_of(reader(), stride=16)
    kept = tmp_path / "figures.json.resume" / "samples" / "documents.jsonl"
    count = lambda engine: 10_000 - engine.n_left

    def run(n_windows=10_000, folder=kept.parent.parent, windows=windows, files=two_files):
        engine = EndingEngine(uniform_engine, n_windows)
        results = measure_files(engine, reader(), windows, files, folder=folder, model={"step": 1})
        return count(engine), {k: v for k, v in results.items() if k not in ("started", "seconds")}

    n_all, whole = run(folder=None)
    with pytest.raises(KeyboardInterrupt):
        run(n_all * 2 // 3)
    n_kept = len(kept.read_text().splitlines())
    assert 20 < n_kept < 70
    kept.write_text(kept.read_text() + half)
    n_left, results = run()
    assert results == whole and n_left < n_all // 2 and len(kept.read_text().splitlines()) == 70
    assert run() == (0, whole)
    with pytest.raises(ConfigError, match="has results of another plan: stride: 16 -> 8"):
        run(windows=Windows(64, 8, (1,)))
    (tmp_path / "b.jsonl").write_text('{"text": "다른 글"}')
    with pytest.raises(ConfigError, match="another plan: files: .*b.jsonl: "):
        run()


def test_progress_counts_every_token(uniform_engine):
    counted = []
    documents = [Document(KOREAN * 3, "f", 1), Document(REVIEW, "f", 2)]
    windows, _ = windows_of(reader(), stride=16)
    measured = list(measure(uniform_engine, reader(), windows, documents, counted.append))
    assert sum(counted) == sum(row.tokens for row in measured) and len(counted) > len(documents)


class Lossy(ByteTokenizer):
    def decode_bytes(self, ids):
        return super().decode_bytes(ids).replace(b"!", b"?")


def test_documents_that_the_tokenizer_does_not_keep_are_said(uniform_engine, tmp_path, caplog):
    (tmp_path / "a.txt").write_text(KOREAN + REVIEW, encoding="utf-8")
    files = TextFiles.of(str(tmp_path / "a.txt"), split="line")
    model = Reader(Lossy(256), 64, (1,))
    results = measure_files(uniform_engine, model, windows_of(model)[0], files)
    assert results["total"]["not_kept"] == 1
    assert "the tokens of 1 document do not decode to the text" in caplog.text
