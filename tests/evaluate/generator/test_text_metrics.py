"""Files of continuations, and the figures of a generator beside those of people."""

import json

import pytest

from hclx.errors import DataError
from hclx.evaluate.generator.continuations import (
    Continuation,
    divide_documents,
    matched_pairs,
    read_continuations,
    write_continuations,
)
from hclx.evaluate.generator.text_metrics import report, text_metrics
from hclx.text.records import Document

TEXT = "마을 앞 강가에는 오래된 버드나무가 서 있고, 아이들은 여름마다 그 아래에서 물장구를 쳤다."


def continuations(texts, name="human"):
    return [
        Continuation(f"{i}번째", text, str(i), f"{name}:{i}") for i, text in enumerate(texts, 1)
    ]


def texts(word, n=24):
    return [f"{word}{i}이 온다. " * 3 + TEXT[i : i + 40] for i in range(n)]


class TestFiles:
    def test_what_is_written_is_read(self, tmp_path):
        documents = [Document(TEXT * 2, "a.jsonl", i) for i in range(1, 4)]
        documents.insert(1, Document(TEXT[:20], "a.jsonl", 9))
        lines = divide_documents(documents, 20, 50, most=10)
        assert [line["seed"] for line in lines] == [0, 1, 2]
        write_continuations(tmp_path / "h.jsonl", lines)
        read = read_continuations(str(tmp_path / "h.jsonl"))
        assert [line.document for line in read] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
        for line in read:
            assert (TEXT * 2).startswith(line.prompt + line.text)
            assert len(line.text) == 50 and len(line.prompt) <= 20
            assert line.text.startswith(" ")  # the prompt ends with a whole word

    def test_words_longer_than_a_prompt_are_divided(self):
        (line,) = divide_documents([Document("가" * 100, "a", 1)], 10, 50, most=1)
        assert line["prompt"] == "가" * 10 and line["text"] == "가" * 50

    def test_documents_are_drawn_with_equal_chances(self):
        documents = [Document("가" * 60, "a", i) for i in range(10)]
        counts = dict.fromkeys(range(10), 0)
        for seed in range(600):
            drawn = divide_documents(documents, 10, 40, most=3, seed=seed)
            lines = [int(line["document"].partition(":")[2]) for line in drawn]
            assert lines == sorted(lines) and len(lines) == 3
            for number in lines:
                counts[number] += 1
        assert all(abs(count - 180) < 4.5 * (600 * 0.3 * 0.7) ** 0.5 for count in counts.values())

    def test_prompts_of_one_document_belong_together(self, tmp_path):
        lines = [
            {"prompt": "가", "text": "나", "document": "책"},
            {"prompt": "다", "text": "라", "document": "책"},
            {"prompt": "다", "text": "마"},
            {"prompt": "", "text": "바"},
            {"text": ""},
        ]
        path = tmp_path / "h.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        read = read_continuations(str(path))
        assert [line.document for line in read] == ["책", "책", "다", "h.jsonl:4", "h.jsonl:5"]

    @pytest.mark.parametrize(
        "content, message",
        [
            ("", "has no lines"),
            ('{"prompt": "가"}', ":1: no string field `text`"),
            ('{"prompt": "가", "text": "나"}\n["가"]', ":2: not a JSON object"),
            ('{"prompt": "가", "text": 3}', ":1: no string field `text`"),
        ],
    )
    def test_files_that_are_none(self, content, message, tmp_path):
        (tmp_path / "h.jsonl").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_continuations(str(tmp_path / "h.jsonl"))

    @pytest.mark.parametrize(
        "seeds, temperature, warns",
        [
            ((None,) * 3, 0.8, True),
            ((7,) * 3, 1, True),
            ((0, 1, 2), 1, False),
            ((7,) * 3, 0, False),
        ],
    )
    def test_texts_of_one_seed_are_warned_of(self, seeds, temperature, warns, tmp_path, caplog):
        path = tmp_path / "m.jsonl"
        lines = [{"prompt": "가", "text": "나"} | ({} if s is None else {"seed": s}) for s in seeds]
        path.write_text("\n".join(map(json.dumps, lines)))
        read_continuations(str(path))
        assert not caplog.text  # it is not known who has written them
        settings = json.dumps({"temperature": temperature, "seed": 0})
        (tmp_path / "m.jsonl.settings.json").write_text(settings)
        read_continuations(str(path))
        assert ("sampled with one seed" in caplog.text) == warns

    def test_no_file_and_no_document(self, tmp_path):
        with pytest.raises(DataError, match="does not exist"):
            read_continuations(str(tmp_path / "h.jsonl"))
        with pytest.raises(DataError, match="no document is long enough"):
            write_continuations(tmp_path / "h.jsonl", [])
        assert not (tmp_path / "h.jsonl").exists()

    def test_other_prompts_are_refused(self):
        human, model = continuations(texts("비")), continuations(texts("비"), "model")
        with pytest.raises(DataError, match="model:24 has a prompt that the other file has not"):
            matched_pairs(human[:23], model)
        with pytest.raises(DataError, match="human:3 has a prompt that the other file has not"):
            matched_pairs(human, model[:2])
        with pytest.raises(DataError, match="model:2 has prompt='2번째', and human:3"):
            matched_pairs(human[2:], model[1:])


def test_figures_are_of_texts_of_one_length():
    pytest.importorskip("sacrebleu")
    pytest.importorskip("mecab_ko")
    human = continuations([*texts("비"), "짧다"])
    model = continuations([text + "꼬리" * 40 for text in (*texts("눈"), "짧다")], "model")
    corpus = [Document(model[0].text[:60] + "끝", "c.txt", 7)]
    result = text_metrics(model, human, corpus, seeds=2)
    assert result["too_short"] == 1 and result["discriminator"]["pairs"] == 24
    own = result["figures"]
    assert own["human"]["characters"] == own["model"]["characters"]
    assert own["human"]["texts"] == own["model"]["texts"] == 24
    assert own["model"]["run_characters_longest"] == min(60, len(human[0].text) - 8)
    assert own["human"]["run_characters_longest"] > 0  # of the sentence that all texts end with
    assert result["longest_runs"][0]["source"] == "c.txt:7"
    assert "tok:ko-mecab" in result["overlap"]["bleu_mecab"]["signature"]
    lines = report(result)
    for word in ("DA", "DF1", "self_bleu", "share_of_50_characters", "1 more are too short"):
        assert word in lines
    json.dumps(result)


def test_a_model_alone_has_no_pairs():
    pytest.importorskip("sacrebleu")
    result = text_metrics(continuations(["가 나 가 나", ""]))
    assert set(result["figures"]) == {"model"} and "discriminator" not in result
    assert result["figures"]["model"]["empty"] == 1
    assert result["figures"]["model"]["distinct_1"] == 0.5
    assert "model" in report(result)
