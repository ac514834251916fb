"""Warnings: each fires on a prompt with its trap, and not on the same prompt without it."""

import re

import pytest

from hclx.prompts import answer_texts, lint
from hclx.text import load_tokenizer
from tests.conftest import ROOT
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.prompts.documents import generation, prompt

GOOD, BAD = {"문장": "또 보고 싶다", "감정": "1"}, {"문장": "졸다 나왔다", "감정": "0"}
CAPITAL = {"나라": "칠레", "answer": "산티아고"}
OWN = {"input": "{문장}\n답:", "answer": " {감정}\n", "choices": {"0": "{첫째}", "1": "{둘째}"}}


class WordTokenizer:
    """Tokens are the words that it is made with, the longest first, and else bytes."""

    begin_ids, eod_id = [0], 0

    def __init__(self, *words):
        self.tokens = [bytes([byte]) for byte in range(256)] + [word.encode() for word in words]

    def encode(self, text):
        data, ids = text.encode(), []
        while data:
            token = max(filter(data.startswith, self.tokens), key=len)
            ids.append(self.tokens.index(token))
            data = data[len(token) :]
        return ids

    def decode_bytes(self, ids):
        return b"".join(self.tokens[token] for token in ids)

    def decode(self, ids):
        return self.decode_bytes(ids).decode("utf-8", "replace")


PLAIN = WordTokenizer("부정", "긍정", "좋음")
# code -> (documents with the trap, the same without it), and the tokenizer that shows it.
TRAPS = {
    "directive-joined": (
        [prompt(directive="후기의 감정"), generation(directive="수도를 쓰라.")],
        [
            prompt(directive="후기의 감정\n"),
            prompt(directive="가", input="\n{문장} ("),
            prompt(directive="가 "),
        ],
    ),
    "space-before-answer": (
        [prompt(input="{문장}: "), generation(input="{나라}\t"), generation(input="{나라}\n ")],
        [prompt(input="{문장} 감정:", answer=" {감정}"), generation(input=" {나라}\n")],
    ),
    "answer-joined": (
        [prompt(input="{문장}"), generation(input="{나라}의 수도는", answer="{answer}")],
        [
            prompt(input="{문장}", answer=" {감정}"),
            prompt(input="{문장}", answer="{감정}", choices={"0": " 부정", "1": "\n긍정"}),
            prompt(input="{문장}：", answer="{감정}"),
            prompt(input="", answer="{감정}"),
            generation(input="{나라}의 수도는"),
        ],
    ),
    "no-separator": ([prompt(separator="")], [prompt(separator=" ")]),
    "separator-in-example": (
        [prompt(examples=[BAD, {"문장": "첫 줄\n둘째 줄", "감정": "1"}])],
        [
            prompt(examples=[{"문장": "첫 줄\n둘째 줄", "감정": "1"}, BAD], separator="\n###\n"),
            prompt(examples=[{"문장": "가", "감정": "1", "출처": "가\n나"}]),
            prompt(examples=[GOOD], separator=""),
        ],
    ),
    "unbalanced-examples": (
        [prompt(examples=[GOOD, BAD, GOOD, GOOD]), prompt(examples=[GOOD, GOOD])],
        [
            prompt(examples=[GOOD, BAD, GOOD]),
            prompt(examples=[GOOD]),
            prompt(**OWN, examples=[{**GOOD, "둘째": "나"}] * 3),
        ],
    ),
    "sorted-examples": (
        [prompt(examples=[BAD, BAD, GOOD, GOOD]), prompt(examples=[GOOD, BAD, BAD])],
        [
            prompt(examples=[BAD, GOOD, BAD, GOOD]),
            prompt(examples=[BAD, GOOD]),
            prompt(examples=[GOOD, GOOD]),
            prompt(**OWN, examples=[{**BAD, "첫째": "가"}] + [{**GOOD, "둘째": "나"}] * 2),
        ],
    ),
    "empty-choice": (
        [prompt(choices={"0": "", "1": "긍정"}), prompt(choices={"0": " ", "1": "긍정"})],
        [prompt(choices={"0": "0", "1": "긍정"}), prompt(**OWN)],
    ),
    "choice-begins-another": (
        [prompt(answer="{감정}", choices=["좋음", "좋음 아님"])],
        [
            prompt(answer="{감정})", choices=["좋음", "좋음 아님"]),
            prompt(answer="{감정}", choices={"0": "{a}", "1": "{ab}"}),
        ],
    ),
    "equal-choices": (
        [prompt(choices={"0": "중립", "1": "중립"})],
        [prompt(choices={"0": "중립", "1": "중립 "}), prompt(**OWN)],
    ),
    "no-stop": (
        [generation(stop=[])],
        [generation(), generation(stop=[], grammar={"choices": ["서울"]}), prompt()],
    ),
    "stop-in-answer": (
        [
            generation(examples=[CAPITAL, {"나라": "가", "answer": "가\n나"}]),
            generation(answer="\n{answer}"),
            generation(answer="\n{answer}", examples=[CAPITAL]),
        ],
        [
            generation(examples=[CAPITAL]),
            generation(answer="\n{answer}\n##", stop=["##"], examples=[CAPITAL]),
        ],
    ),
    "stop-not-in-separator": (
        [generation(separator="##"), generation(stop=["끝"], examples=[CAPITAL])],
        [
            generation(separator="\n##"),
            generation(stop=["##"], answer=" {answer}##"),
            generation(stop=["##"], answer=" {answer}##", examples=[CAPITAL]),
            generation(stop=["나라:"]),
            generation(stop=["\n나라:"], separator="\n"),
            generation(stop=["끝", "\n\n"]),
            generation(stop=[], grammar={"regex": "가"}),
        ],
    ),
    "over-budget": (
        [
            prompt(examples=[GOOD], budget={"tokens": 32}),
            generation(input="{나라}:", sampling={"max_tokens": 25}, budget={"tokens": 32}),
        ],
        [
            prompt(examples=[GOOD], budget={"tokens": 33}),  # 1 + 22 + 8, and 2 of the answer
            prompt(examples=[GOOD]),
            generation(input="{나라}:", sampling={"max_tokens": 24}, budget={"tokens": 32}),
        ],
        PLAIN,
    ),
    "straddling-token": (
        [prompt(input="{문장}:", answer="{감정}", choices=["부정", ")"])],
        [prompt(), prompt(input="{문장}:", answer=" {감정}", choices=["부정", ")"])],
        WordTokenizer("부정", "긍정", ":)"),
    ),
    "shared-first-token": (
        [
            prompt(choices=["좋음", "좋지 않음"], answer="{감정}."),
            prompt(choices=["긍정", "매우 좋음", "매우 나쁨"]),
        ],
        [
            prompt(choices=["좋음", "나쁨"]),
            prompt(choices=["긍정", "나쁨"], input="{문장}\n"),
            prompt(choices=["긍정", "나쁨"], answer="\n{감정}"),
            prompt(**OWN),
        ],
        WordTokenizer("좋", "나쁨", "긍정", "매우"),
    ),
    "unequal-lengths": (
        [prompt(choices=["긍정", "중립"]), prompt(choices=["긍정", "긍정부정"])],
        [prompt(), prompt(**OWN)],
        PLAIN,
    ),
}


def codes(document, tokenizer=None, fields=None):
    return [finding.code for finding in lint(document, tokenizer, fields)]


@pytest.mark.parametrize("code", TRAPS)
def test_a_trap_is_seen_where_it_is_and_nowhere_else(code):
    with_trap, without, *tokenizer = TRAPS[code]
    for document in with_trap:
        assert codes(document, *tokenizer).count(code) == 1, document
        if tokenizer:
            assert code not in codes(document)
    for document in without:
        assert code not in codes(document, *tokenizer), document


def test_a_prompt_without_traps_has_no_warning():
    scored = prompt(directive="후기의 감정\n", examples=[GOOD, BAD], budget={"tokens": 200})
    written = generation(directive="수도를 씁니다.\n\n", examples=[CAPITAL])
    for document in (scored, written):
        assert lint(document) == lint(document, PLAIN) == []


def test_characters_that_a_tokenizer_lacks_are_named(tmp_path):
    pytest.importorskip("tokenizers")
    document = prompt(choices=["가나", "🙂"])
    lossy, whole = (
        load_tokenizer(save_tokenizer(name, tmp_path / name)) for name in ("KoGPT2", "Llama 2")
    )
    (warning,) = (w for w in lint(document, lossy) if w.code == "unknown-character")
    assert "🙂" in warning.message and "가" not in warning.message
    assert "unknown-character" not in codes(document, whole)


def test_choices_of_an_item_are_compared_when_the_item_is_known():
    document = prompt(**{**OWN, "answer": " {감정}"})
    assert "choice-begins-another" not in codes(document)
    tried = {"첫째": "불을 켰다", "둘째": "불을 켰다가 껐다"}
    assert "choice-begins-another" in codes(document, fields=tried)
    assert "equal-choices" in codes(document, fields={"첫째": "가", "둘째": "가"})
    assert "equal-choices" not in codes(document, fields={"첫째": "가", "둘째": "나"})


def test_the_item_that_is_tried_counts():
    document = prompt(budget={"tokens": 60})
    assert "over-budget" not in codes(document, PLAIN)
    assert "over-budget" in codes(document, PLAIN, {"문장": "길다 " * 20})


def test_own_tokenizers_are_looked_at(tokenizers):
    for tokenizer in tokenizers.values():
        found = set(codes(prompt(choices=["긍정", "대단히 부정"]), tokenizer))
        assert "unequal-lengths" in found and "unknown-character" not in found


def test_many_examples_with_a_trap_have_one_warning():
    shots = [{"나라": "가\n\n나", "answer": "가\n나"}] * 70
    warnings = lint(generation(examples=shots))
    assert len(warnings) == 2
    assert all("examples[0] and 69 more" in warning.message for warning in warnings)


def test_warnings_are_made_for_every_document():
    """Whatever is valid can be looked at."""
    for traps in TRAPS.values():
        for document in (*traps[0], *traps[1]):
            assert all(warning.message for warning in lint(document, PLAIN))
            assert set(answer_texts(document, dict.fromkeys(document.input_fields, ""))) == set(
                document.choices
            )
    assert lint(prompt(choices={}, input="", answer="{감정}")) != []


def test_every_code_is_documented_and_tried():
    source = (ROOT / "hclx" / "prompts" / "lint.py").read_text(encoding="utf-8")
    known = set(re.findall(r'Finding\(\s*"([\w-]+)"', source))
    page = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")
    table = page.partition("## Warnings")[2]
    assert known == {*TRAPS, "unknown-character"}
    assert known == set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE))
