"""Prompt documents that tests share."""

from hclx.prompts import prompt_from_json


def raw(**fields):
    """Returns the JSON object of a small scored prompt with some of its fields replaced; a field
    that is None is removed.
    """
    base = {
        "schema": "hclx.prompt/1",
        "name": "후기/괄호",
        "input": "{문장} (",
        "answer": "{감정})",
        "answer_field": "감정",
        "separator": "\n",
        "choices": {"0": "부정", "1": "긍정"},
    }
    return {name: value for name, value in {**base, **fields}.items() if value is not None}


def generated(**fields):
    """Returns the JSON object of a small prompt whose answer is generated, as `raw` does."""
    base = {
        "schema": "hclx.prompt/1",
        "name": "수도",
        "input": "나라: {나라}\n수도:",
        "answer": " {answer}",
        "stop": ["\n"],
    }
    return {name: value for name, value in {**base, **fields}.items() if value is not None}


def prompt(**fields):
    return prompt_from_json(raw(**fields))


def generation(**fields):
    return prompt_from_json(generated(**fields))


EVERY_FIELD_SCORED = raw(
    description="영화 후기의 감정",
    source="직접 씀",
    directive="후기 {번호}\n",
    examples=[{"문장": "좋다", "감정": "1"}, {"문장": "나쁘다", "감정": "0"}],
    parser={"kind": "first_line"},
    budget={"tokens": 512, "drop": "last"},
)
EVERY_FIELD_GENERATED = generated(
    answer="\n{답}",
    answer_field="답",
    stop=["##", "\n\n"],
    parser={"kind": "regex", "pattern": "([가-힣]+)"},
    grammar={"json_schema": {"type": "object", "properties": {"나": {}, "가": {}}}},
    sampling={"temperature": 0.5, "top_k": 5, "max_tokens": 16},
    budget={"tokens": 100},
)
