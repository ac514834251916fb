"""Items, prompts and a reader for tests of few-shot evaluation."""

from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec
from hclx.prompts import prompt_from_json
from tests.helpers.byte_tokenizer import ByteTokenizer

REVIEWS = (
    ("배우들의 연기가 살아 있어서 두 시간이 짧았다", "1"),
    ("줄거리가 뻔하고 지루하다", "0"),
    ("음악이 아름답다", "1"),
    ("돈이 아까운 영화", "0"),
    ("다시 보고 싶은 작품", "1"),
    ("중간에 나왔다", "0"),
    ("가족과 함께 웃었다", "1"),
    ("결말이 허무하다", "0"),
)
PROMPT = {
    "schema": "hclx.prompt/1",
    "name": "reviews/line",
    "input": "{document} (",
    "answer": "{label})",
    "answer_field": "label",
    "separator": "\n",
    "choices": {"0": "부정", "1": "긍정"},
}
GENERATION = {
    "schema": "hclx.prompt/1",
    "name": "reviews/words",
    "input": "평: {document}\n느낌:",
    "answer": " {label}",
    "answer_field": "label",
    "stop": ["\n"],
    "sampling": {"max_tokens": 8},
}


def reviews(count=len(REVIEWS), prefix="r"):
    """Returns items of reviews; the texts repeat with a number behind them."""
    items = []
    for number in range(count):
        text, label = REVIEWS[number % len(REVIEWS)]
        repeat = number // len(REVIEWS)
        document = f"{text} {repeat}" if repeat else text
        items.append(Item(f"{prefix}{number}", {"document": document}, label))
    return tuple(items)


def spec(prompt=PROMPT, **settings):
    """Returns a run over reviews; the pool has other ids than the items."""
    settings = {"items": reviews(), "pool": reviews(20, "p"), **settings}
    return RunSpec("reviews", "line", prompt_from_json(prompt), **settings)


def byte_reader(max_length=4096, begin=(1,)):
    """Returns a reader whose tokens are bytes."""
    return Reader(ByteTokenizer(256), max_length, begin)
