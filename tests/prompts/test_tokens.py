"""Prompts as tokens, against the bytes of their parts and the rule of lm-evaluation-harness."""

import itertools

import pytest

from hclx.errors import ConfigError
from hclx.prompts import encode_answers, encode_prompt, render
from hclx.prompts.tokens import span_of
from hclx.text import load_tokenizer
from hclx.text.pretokenizers import MORPHEMES_OF
from tests.helpers.foreign_tokenizers import KINDS, LOSSY, save_tokenizer
from tests.prompts.documents import generation, prompt

LOSSLESS = [name for name in KINDS if name not in LOSSY]
SHOTS = [{"문장": "오늘 아침에는 비가 내렸다", "감정": "0"}, {"문장": "漢字 🙂 ", "감정": "1"}]
RENDERINGS = [
    render(prompt(examples=SHOTS, directive="후기의 감정:\n"), {"문장": "음악이 좋았다"}),
    render(prompt(), {"문장": ""}),
    render(prompt(), {"문장": " 빈칸  둘"}),
    render(generation(input="{나라:은/는} {나라}{나라}: "), {"나라": "몽골"}),
    render(generation(input="{나라}"), {"나라": "🙂"}),
    render(generation(input="{나라}"), {"나라": ""}),
]


@pytest.fixture(scope="module")
def every(tokenizers, tmp_path_factory):
    """Name -> tokenizer: own ones of all modes, and those of other models."""
    pytest.importorskip("tokenizers")
    foreign = {
        name: load_tokenizer(save_tokenizer(name, tmp_path_factory.mktemp("tokenizer")))
        for name in KINDS
    }
    return {**tokenizers, **foreign}


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda rendering: repr(rendering.text[-9:]))
@pytest.mark.parametrize("name", [*MORPHEMES_OF, *LOSSLESS])
def test_each_token_has_the_part_of_its_first_byte(name, rendering, every):
    tokenizer = every[name]
    tokens = encode_prompt(rendering, tokenizer, begin=())
    assert list(tokens.ids) == tokenizer.encode(rendering.text)
    owners = [  # of each byte
        number
        for number, span in enumerate(rendering.spans)
        for _ in rendering.text[span.start : span.end].encode()
    ]
    added = len(tokenizer.decode_bytes(tokens.ids)) - len(owners)  # a space before the text
    assert added in (0, 1) or not owners
    for number, owner in enumerate(tokens.spans):
        first = len(tokenizer.decode_bytes(tokens.ids[:number])) - added
        assert owner == (owners[max(0, first)] if owners else None)
        assert span_of(rendering, tokens, number) is (rendering.spans[owner] if owners else None)


@pytest.mark.parametrize("name", LOSSY)
def test_tokens_of_a_tokenizer_that_loses_characters_have_parts_in_order(name, every):
    rendering = render(generation(input="{나라}"), {"나라": "가나 🙂 다라 漢字🙂"})
    tokens = encode_prompt(rendering, every[name])
    spans = [span for span in tokens.spans if span is not None]
    assert spans == sorted(spans) and set(spans) <= set(range(len(rendering.spans)))


def test_tokens_that_begin_a_document_belong_to_no_part(every):
    tokenizer = every["Llama 3"]
    own = encode_prompt(RENDERINGS[0], tokenizer)
    assert tokenizer.begin_ids == [own.ids[0]] and own.spans[0] is None
    assert span_of(RENDERINGS[0], own, 0) is None
    none, two = (encode_prompt(RENDERINGS[0], tokenizer, begin=ids) for ids in ((), (1, 0)))
    assert own.ids[1:] == none.ids == two.ids[2:] and two.ids[:2] == (1, 0)
    assert own.spans[1:] == none.spans == two.spans[2:] and two.spans[:2] == (None, None)


def harness(tokenizer, begin, context, continuation):
    """The rule of lm-evaluation-harness 0.4 (TemplateLM.loglikelihood and _encode_pair)."""
    encode = lambda text: [*begin, *tokenizer.encode(text)]
    if context == "":
        prefix = tokenizer.begin_ids[0]
        ids = tokenizer.encode(continuation)
        return [prefix], ids
    n_spaces = len(context) - len(context.rstrip())
    if n_spaces > 0:
        continuation = context[-n_spaces:] + continuation
        context = context[:-n_spaces]
    whole, head = encode(context + continuation), encode(context)
    return head, whole[len(head) :]


CONTEXTS = ["음악이 좋았다 (", "감정:", "감정: ", "답\n", "답:\n\n ", "A", "끝에 빈칸\u3000", "🙂"]
ANSWERS = {"0": "부정)", "1": " 긍정", "2": "예", "3": "아니오.\n", "4": "a", "5": "  두 칸"}


@pytest.mark.parametrize("has_begin", [True, False])
@pytest.mark.parametrize("name", [*MORPHEMES_OF, *KINDS])
def test_answers_are_split_as_lm_evaluation_harness_does(name, has_begin, every):
    tokenizer = every[name]
    begin = tokenizer.begin_ids if has_begin else []
    compared = 0
    for context in [*CONTEXTS, ""]:
        encoded = encode_answers(context, ANSWERS, tokenizer, begin)
        straddles = 0
        for key, text in ANSWERS.items():
            head, ids = harness(tokenizer, begin, context, text)
            whole = [*begin, *tokenizer.encode(context + text)]
            straddles += context != "" and (whole[: len(head)] != head or not ids)
            if ids:  # the harness fails where an answer merges with the prompt's last token
                assert list(encoded.context) == head and list(encoded.answers[key]) == ids
                compared += 1
        assert encoded.straddles == straddles
    assert compared >= len(CONTEXTS) * len(ANSWERS) * 0.8


def test_the_tokenizers_own_beginning_is_the_default(every):
    tokenizer = every["Llama 3"]
    assert encode_answers("감정:", ANSWERS, tokenizer) == encode_answers(
        "감정:", ANSWERS, tokenizer, tokenizer.begin_ids
    )


class PairTokenizer:
    """A tokenizer of single characters that merges "ab", "b)" and "abc" where they come first."""

    begin_ids, eod_id, tokens = [], 7, ["", "a", "b", "c", "ab", "b)", "abc", "<end>", ")", " "]

    def encode(self, text):
        ids = []
        while text:
            token = max((t for t in self.tokens if text.startswith(t)), key=len)
            ids.append(self.tokens.index(token))
            text = text[len(token) :]
        return ids


def test_tokens_that_begin_in_the_prompt_are_counted():
    tokenizer = PairTokenizer()
    encoded = encode_answers("ca", {"0": "b", "1": "c", "2": "bc", "3": "a"}, tokenizer)
    assert encoded.context == (3, 1) and encoded.straddles == 2
    # Merged with the prompt's end: the last token is all that the answer has.
    assert encoded.answers == {"0": (4,), "1": (3,), "2": (6,), "3": (1,)}
    assert encode_answers("ca", {"0": "b)"}, tokenizer).answers == {"0": (8,)}


@pytest.mark.parametrize("context", ["", "  "])
def test_a_prompt_without_text_has_the_token_that_begins_or_ends_a_document(context):
    tokenizer = PairTokenizer()
    spaces = tokenizer.encode(context)
    encoded = encode_answers(context, {"0": "a"}, tokenizer)
    assert encoded.context == (7,) and encoded.answers == {"0": (*spaces, 1)}
    tokenizer.begin_ids = [0, 3]
    assert encode_answers(context, {"0": "a"}, tokenizer).context == (0, 3)
    assert encode_answers(context, {"0": "a"}, tokenizer, ()).context == (0,)
    assert encode_answers(context, {"0": "a"}, tokenizer, [2]).context == (2,)
    assert encode_answers("c", {"0": "a"}, tokenizer, ()).context == (3,)


def test_an_empty_answer_is_refused():
    with pytest.raises(ConfigError, match="the answer '1' is empty"):
        encode_answers("가 ", {"0": "가", "1": ""}, PairTokenizer())


def test_context_and_answer_are_the_whole_text(every):
    """Unless a token straddles both."""
    for tokenizer, context in itertools.product(every.values(), CONTEXTS):
        encoded = encode_answers(context, ANSWERS, tokenizer, [])
        whole = {key: tokenizer.encode(context + text) for key, text in ANSWERS.items()}
        joined = {key: [*encoded.context, *ids] for key, ids in encoded.answers.items()}
        different = sum(joined[key] != whole[key] for key in ANSWERS)
        assert different <= encoded.straddles
